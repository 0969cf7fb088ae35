"""VRT mosaics: whole rasters side by side as simple sources, named by paths relative to the VRT."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from swath.core.errors import ConfigError, DataError
from swath.core.windows import Window
from swath.disk.publish import publish
from swath.disk.rasters.geotiff import Header
from swath.disk.rasters.raster import open_raster
from swath.disk.rasters.vrt_guard import GDAL_TYPES, MAX_SOURCES, MAX_XML

_PROBED = 16  # sources whose pixels are compared after writing


def publish_vrt(target: Path, header: Header, sources: Sequence[tuple[Path, Window]]) -> Path:
    """The published VRT: each source fills its window of the header's grid, later ones over earlier ones.

    Raises DataError where the VRT, opened by GDAL, is not what it should be, ConfigError where it would be too long
    to be read again.
    """
    text = _document(target, header, sources)
    if len(text.encode()) > MAX_XML or len(sources) * header.count > MAX_SOURCES:
        raise ConfigError("mosaic-vrt", "kind", f"a VRT of {len(sources):,} rasters is longer than Swath reads",
                          "write a cog")  # fmt: skip
    return publish(
        target, lambda part: part.write_text(text, "utf-8"), verify=lambda part: _verify(part, target, header, sources)
    )


def _document(target: Path, header: Header, sources: Sequence[tuple[Path, Window]]) -> str:
    grid = header.grid
    root = ElementTree.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs is not None:
        _add(root, "SRS", grid.crs)
    _add(root, "GeoTransform", ", ".join(repr(float(v)) for v in grid.transform.to_gdal()))
    _metadata(root, header.tags)
    for index in range(1, header.count + 1):
        band = ElementTree.SubElement(root, "VRTRasterBand", dataType=GDAL_TYPES[header.dtype], band=str(index))
        _describe(band, header, index)
        for path, window in sources:
            _source(band, path, window, target, index)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _describe(band: ElementTree.Element, header: Header, index: int) -> None:
    if header.band_tags:
        _metadata(band, header.band_tags[index - 1])
    if header.names and header.names[index - 1]:
        _add(band, "Description", str(header.names[index - 1]))
    if header.nodata is not None:
        _add(band, "NoDataValue", repr(header.nodata))
    if header.meaning:
        _add(band, "ColorInterp", header.meaning[index - 1].name.capitalize())
    if header.colours is not None and index == 1:
        table = ElementTree.SubElement(band, "ColorTable")
        for value in range(max(header.colours) + 1):
            colour = header.colours.get(value, (0, 0, 0, 255))
            ElementTree.SubElement(table, "Entry", {f"c{i}": str(c) for i, c in enumerate(colour, 1)})


def _source(band: ElementTree.Element, path: Path, window: Window, target: Path, index: int) -> None:
    source = ElementTree.SubElement(band, "SimpleSource")
    relative = os.path.relpath(path.absolute(), target.absolute().parent)
    _add(source, "SourceFilename", relative, relativeToVRT="1")
    _add(source, "SourceBand", str(index))
    size = {"xSize": str(window.width), "ySize": str(window.height)}
    ElementTree.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
    ElementTree.SubElement(source, "DstRect", {"xOff": str(window.col), "yOff": str(window.row), **size})


def _metadata(parent: ElementTree.Element, tags: dict[str, str]) -> None:
    if tags:
        listed = ElementTree.SubElement(parent, "Metadata")
        for key, value in tags.items():
            _add(listed, "MDI", value, key=key)


def _add(parent: ElementTree.Element, name: str, text: str, **attributes: str) -> None:
    ElementTree.SubElement(parent, name, attributes).text = text


def _verify(part: Path, target: Path, header: Header, sources: Sequence[tuple[Path, Window]]) -> None:
    """Nothing, or a DataError where the VRT differs from its header, or a source's corner from the source."""
    with open_raster(part) as found:
        grid = header.grid
        same = found.shape == grid.shape and found.count == header.count and found.transform == grid.transform
        for path, window in sources[-1 : -_PROBED - 1 : -1] if same else ():
            side = Window(window.row, window.col, min(8, window.height), min(8, window.width))
            hidden = any((side & w).area for _, w in sources[sources.index((path, window)) + 1 :])
            with open_raster(path) as source:
                there = found.read(window=_box(side))
                own = source.read(window=_box(Window(0, 0, *side.shape)))
                same = same and (hidden or there.tobytes() == own.tobytes())
    if not same:
        raise DataError("write-unverified", target, "the VRT does not show its sources as they are", "report this")


def _box(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.row, window.row_end), (window.col, window.col_end)
