"""What a manifest's cell names: a file, several files of one image, or a STAC item."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any

from swath.core.errors import DataError
from swath.disk.remote.access import Remote, is_allowed, is_remote, location, redacted
from swath.disk.remote.stac import StacBand, asset_file, stac_item
from swath.disk.sources.stack import Files, Image, Stack


def cell_image(value: Any, root: Path) -> Image:
    """The image that a manifest's cell names: a file, a STAC item, or several files whose bands are stacked, written as
    a list, as `a.tif;b.tif` or as a pattern such as `B0[2-4].tif` (its files in sorted order).
    """
    if isinstance(value, list | tuple):
        return Stack((Files("image", tuple(cell_path(v, root) for v in value)),))
    text = str(value)
    path = cell_path(value, root)
    if (not is_remote(path) or ";" not in text) and path.exists():
        return _item_stack(path) if path.suffix.lower() == ".json" else path
    if ";" in text:
        return Stack((Files("image", tuple(cell_path(t.strip(), root) for t in text.split(";") if t.strip())),))
    if not is_remote(path) and any(c in text for c in "*?["):
        found = _below(root, text)
        if len(found) > 1:
            return Stack((Files("image", tuple(found)),))
        return found[0] if found else path
    return path


def _item_stack(path: Path) -> Stack:
    """The raster assets of a STAC item as one image: those whose files are at hand, and the remote ones where these may
    be read; the others are named as left out.
    """
    item = stac_item(path)
    rasters = item.rasters
    if not rasters:
        raise DataError("stac-item", path, "names no raster asset", "assets need the type image/tiff or the role data")
    files: list[Path] = []
    names: list[tuple[str, str]] = []
    owners: list[int] = []
    left_out = tuple(a.name for a in rasters if not isinstance(a.place, Path) and not is_allowed(a.place))
    if len(left_out) == len(rasters):
        raise DataError("remote-off", path, f"its {len(rasters)} raster assets lie elsewhere, such as at "
                        f"{redacted(str(rasters[0].place))}", "copy them beside the item with swath fetch, or write "
                        "runtime.remote=true")  # fmt: skip
    for asset in rasters:
        if asset.name in left_out:
            continue
        files.append(asset_file(asset, path))
        bands = asset.bands or (StacBand(asset.name),)
        names += [(b.common_name or b.name or asset.name, b.name or asset.name) for b in bands]
        owners += [len(files) - 1] * len(bands)
    common, own = ([pair[k] for pair in names] for k in (0, 1))
    told = common if len(set(common)) == len(common) else own
    return Stack((Files("image", tuple(files), tuple(told), owners=tuple(owners)),), path, left_out)


def _below(root: Path, pattern: str) -> list[Path]:
    """The files that a pattern stands for, from a folder on whatever its own name is, sorted."""
    folder = "" if Path(pattern).is_absolute() else glob.escape(str(root))
    return sorted(p for p in map(Path, glob.glob(os.path.join(folder, pattern))) if p.is_file())


def cell_path(text: Any, root: Path) -> Path:
    """The path that a cell names, from the manifest's folder on; backslashes of Windows are understood."""
    path = text if isinstance(text, Remote) else location(str(text), root)
    if not is_remote(path) and not path.exists() and "\\" in str(text):
        path = root / str(text).replace("\\", "/")
    return path


def cell_file(value: Any, root: Path, where: str) -> Path | None:
    """The path of a cell that names one file, an area of interest; None for an empty cell. Raises DataError."""
    if not value:
        return None
    path = cell_path(value, root)
    if not is_remote(path) and (path.is_dir() or (any(c in str(value) for c in "*?;") and not path.exists())):
        raise DataError("manifest-aoi", where, f"`aoi` is {value}, a row takes one file", "join the files into one layer")
    return path


def cell_labels(value: Any, root: Path, where: str) -> tuple[Path, ...]:
    """The files of a cell of labels: one raster, or vectors, written as a list, as `a.gpkg;b.gpkg`, as a pattern or as
    the folder that holds them (in sorted order). `where` is the row. Raises DataError.
    """
    if not value:
        return ()
    whole = not isinstance(value, list | tuple) and (";" not in str(value) or cell_path(value, root).exists())
    cells = [value] if whole else value if isinstance(value, list | tuple) else [c.strip() for c in str(value).split(";") if c.strip()]
    from swath.disk.vectors.vector import SUFFIXES

    found = list(dict.fromkeys(f for cell in cells for f in _of_label_cell(cell, root, where, SUFFIXES - {".json"})))
    rasters = [f for f in found if f.suffix.lower() not in SUFFIXES]
    if rasters and len(found) > 1:
        raise DataError("manifest-labels", where, f"`labels` is {value}: {len(found)} files, {rasters[0].name} among them is no vector",
                        "name one label raster, or vectors")  # fmt: skip
    return tuple(found)


def _of_label_cell(cell: Any, root: Path, where: str, vectors: set[str]) -> list[Path]:
    path = cell_path(cell, root)
    if is_remote(path) or not (path.is_dir() or (any(c in str(cell) for c in "*?[") and not path.exists())):
        return [path]
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        files = [p for p in files if p.suffix.lower() in vectors] or files
    else:
        files = _below(root, str(cell))
    if not files:
        raise DataError("manifest-labels", where, f"`labels` is {cell}: no file is there", "name vector files, or a folder of them")
    return files
