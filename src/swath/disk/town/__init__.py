"""A believable georeferenced town to try Swath on."""
