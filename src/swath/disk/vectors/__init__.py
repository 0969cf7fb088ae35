"""Vector files: polygons and points read and written."""
