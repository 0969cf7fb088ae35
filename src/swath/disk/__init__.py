"""Everything that touches files. GDAL is configured here, before any module of this level loads it."""

import os

GDAL_SETTINGS = {
    "GDAL_CACHEMAX": "64",  # MB: memory must not follow the raster's size
    "GDAL_PAM_ENABLED": "YES",  # sidecars are read; nothing here opens an input for writing
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_VRT_ENABLE_RAWRASTERBAND": "NO",
    "CPL_VSIL_CURL_HEADER_FILE_KVP_ENABLED": "NO",
    "GTIFF_WRITE_TOWGS84": "NO",
    "CPL_LOG": os.devnull,  # what counts is raised; complaints beside it would spoil the one line of an error
}
for _key, _value in GDAL_SETTINGS.items():
    os.environ.setdefault(_key, _value)
