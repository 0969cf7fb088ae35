"""Rows of a manifest, and their labels on the grid of the image."""
