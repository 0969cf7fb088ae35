"""Raster files: headers, windows, coordinate systems, areas; maps, mosaics and tables written."""
