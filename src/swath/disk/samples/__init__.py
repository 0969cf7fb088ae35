"""Samples found: where they lie, which of them are kept, pixels straight from rasters."""
