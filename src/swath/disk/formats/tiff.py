"""Images and masks of samples as plain raster files, for the formats that keep them so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from swath.core.grid import Grid
from swath.core.windows import Window
from swath.disk.formats.foreign import ForeignSample, finite, malformed
from swath.disk.rasters.raster import SUFFIXES, RasterInfo, RasterReader

LABEL_WORD = re.compile(r"(^|[_-])(labels?|masks?|gt|terrain|target|classes)([_-]|$)", re.IGNORECASE)


def profile(shape: Sequence[int], dtype: Any) -> dict[str, Any]:
    """The creation options of a GeoTIFF whose bands are bands, none of them taken for alpha."""
    count, height, width = shape
    return {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": np.dtype(dtype).name,
            "photometric": "minisblack", "compress": "deflate", "bigtiff": "if_safer"}  # fmt: skip


def write_raster(
    part: Path,
    array: NDArray[Any],
    grid: Grid | None = None,
    names: Sequence[str] = (),
    valid: NDArray[np.bool_] | None = None,
) -> None:
    """Writes (C, H, W) with its grid, band names and, where not all is `valid`, an internal mask."""
    place = {"crs": grid.crs, "transform": grid.transform} if grid else {}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(part, "w", **profile(array.shape, array.dtype), **place) as sink,
    ):
        sink.write(array)
        if names:
            sink.descriptions = tuple(names)
        if valid is not None and not valid.all():
            sink.write_mask(valid)


def read_image(path: Path) -> tuple[NDArray[Any], NDArray[np.bool_], Grid | None]:
    """Bands (C, H, W) but for alpha, their valid mask and grid (None without georeference). Raises DataError."""
    reader = RasterReader(path)
    image, valid = reader.read(Window(0, 0, *reader.grid.shape))
    return image, valid, known_grid(reader.info)


def read_labels(path: Path) -> NDArray[Any]:
    """The values (H, W) of a mask's one band; no nodata tag is applied. Raises DataError."""
    reader = RasterReader(path, rule="none")
    if len(reader.indexes) != 1 or not np.issubdtype(np.dtype(reader.info.dtype), np.integer):
        raise malformed(path, f"a mask has one band of whole numbers, this one {len(reader.indexes)} of "
                        f"{reader.info.dtype}", "map its colours with a manifest and `classes`: swath sample CONFIG")  # fmt: skip
    return reader.read(Window(0, 0, *reader.grid.shape))[0][0]


def known_grid(info: RasterInfo) -> Grid | None:
    """The grid of a raster, None where it says nothing of its place."""
    return None if info.grid.crs is None and info.grid.transform == Affine.identity() else info.grid


def rasters(folder: Path) -> list[Path]:
    """The raster files of a folder, by name; hidden ones and sidecars are none."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES - {".vrt"} and not p.name.startswith(".")
                  and p.is_file()) if folder.is_dir() else []  # fmt: skip


def own_mask(sample: ForeignSample) -> NDArray[np.bool_] | None:
    """The valid mask of a sample where the pixels themselves do not tell it."""
    return None if np.array_equal(sample.mask, finite(sample.image)) else sample.mask
