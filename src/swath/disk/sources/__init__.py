"""What one image consists of: files, vectors, numbers and coordinates on the grid of the first."""
