"""A config with its scenes: what is decided from the data, which pixels belong to which split."""
