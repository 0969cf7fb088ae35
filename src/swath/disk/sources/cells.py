"""What a manifest's cell names: a file, several files of one image, or a STAC item."""

from __future__ import annotations

import glob
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
        found = sorted(Path(p) for p in glob.glob(str(root / text)))
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
    left_out = tuple(a.name for a in rasters if not isinstance(a.place, Path)) if not is_allowed() else ()
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
    common, own = ([pair[k] for pair in names] for k in (0, 1))
    told = common if len(set(common)) == len(common) else own
    return Stack((Files("image", tuple(files), tuple(told)),), path, left_out)


def cell_path(text: Any, root: Path) -> Path:
    """The path that a cell names, from the manifest's folder on; backslashes of Windows are understood."""
    path = text if isinstance(text, Remote) else location(str(text), root)
    if not is_remote(path) and not path.exists() and "\\" in str(text):
        path = root / str(text).replace("\\", "/")
    return path
