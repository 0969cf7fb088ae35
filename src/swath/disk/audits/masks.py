"""Findings on label rasters: values and classes of the whole raster, its nodata tag, and its grid against the image's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import shapely

from swath.core.legend import Legend
from swath.disk.audits.audit import Finding, share, shown
from swath.disk.audits.labels import bounds_in, box_text, crs_findings, footprint
from swath.disk.rasters.crs import crs_name, on_grid, same_place
from swath.disk.rasters.raster import RasterInfo
from swath.disk.rasters.tally import Counts, is_coloured


def label_raster_findings(
    info: RasterInfo, image: RasterInfo | None, legend: Legend | None, counts: Counts
) -> list[Finding]:
    """What the values of a whole label raster (`counts`) and its grid say. Raises DataError."""
    path = info.path
    amounts = {
        v: sum(t.get(v, (0, 0.0))[0] for t in counts.values()) for v in sorted({v for t in counts.values() for v in t})
    }
    coloured = legend is not None and is_coloured(info, legend)
    found = [] if image is None else _on_image(info, image)
    if info.count - bool(info.alpha) > 1 and not coloured:
        found.append(
            Finding("warning", "labels-bands", path, f"has {info.count} bands: the first is used", "write one band")
        )
    if legend is None:
        found.append(Finding("note", "labels-values", path, f"holds the values {shown(amounts)}"))
        return found
    tag = info.nodata[0]
    known = {v: _class_of(v, legend, coloured) for v in amounts}
    if not coloured and tag is not None and tag == tag and amounts.get(tag):
        found.append(_label_nodata(path, tag, amounts[tag], legend))
    unknown = [v for v, i in known.items() if i is None and (coloured or v != tag)]
    if unknown:
        listed = shown(f"{f'#{v:06x}' if coloured else f'{v:g}'} ({amounts[v]:,} pixels)" for v in unknown)
        found.append(Finding("error", "class-unknown", path, f"values without a class: {listed}", "add them to `classes`, or to "
                             f"`classes.ignore`; classes are {', '.join(f'{c.id} {c.name}' for c in legend.classes)}"))  # fmt: skip
    return found


def value_classes(values: Sequence[Any], info: RasterInfo, legend: Legend) -> dict[Any, int]:
    """The class index of each known value of a label raster, as `disk.labels` takes it; ignored ones left out."""
    coloured = is_coloured(info, legend)
    known = {v: _class_of(v, legend, coloured) for v in values}
    return {v: i for v, i in known.items() if i is not None and i != legend.ignore}


def _class_of(value: Any, legend: Legend, coloured: bool) -> int | None:
    if coloured:
        colour = (value >> 16, value >> 8 & 255, value & 255)
        return legend.colours.get(colour, legend.fill if value == 0 else None)
    index = legend.match(value)
    return legend.fill if index is None and legend.thresholds else index


def _label_nodata(path: Path, tag: float, pixels: int, legend: Legend) -> Finding:
    index = legend.match(tag)
    if legend.thresholds or index not in (None, legend.ignore):
        name = (
            "a grey like others"
            if legend.thresholds or index is None
            else f"class {legend.ids[index]} {legend.names[index]}"
        )
        remedy = "if it means 'not labelled': classes.unlabelled=ignore" if tag == 0 else "gdal_edit.py -unsetnodata"
        return Finding("warning", "labels-nodata-class", path, f"its nodata tag {tag:g} is {name}: the tag is not applied, {pixels:,} "
                       "pixels count", remedy)  # fmt: skip
    return Finding("note", "labels-nodata", path, f"{pixels:,} pixels hold its nodata value {tag:g}: ignored")


def _on_image(labels: RasterInfo, image: RasterInfo) -> list[Finding]:
    mine, theirs, path = labels.grid, image.grid, labels.path
    if on_grid(mine, theirs):
        both = mine.crs is not None and theirs.crs is not None
        return crs_findings(path, mine.crs, image) if both else []
    sizes = f"is {mine.width} x {mine.height} pixels, {image.path.name} {theirs.width} x {theirs.height}"
    if mine.crs is None or theirs.crs is None:
        return [Finding("error", "labels-grid", path, f"{sizes}, and without coordinate system they cannot be aligned",
                        "give the labels the image's size")]  # fmt: skip
    extent, outline = bounds_in(mine.bounds, mine.crs, theirs.crs), footprint(theirs)
    if extent is None:
        return [
            Finding(
                "error",
                "labels-crs",
                path,
                f"{crs_name(mine.crs)} cannot be transformed into {crs_name(theirs.crs)}",
                "check its CRS",
            )
        ]
    part = shapely.area(shapely.intersection(shapely.box(*extent), outline)) / shapely.area(outline)
    if part == 0:
        return [Finding("error", "labels-disjoint", path, f"labels cover {box_text(extent)}, {image.path.name} {box_text(theirs.bounds)} "
                        f"({crs_name(theirs.crs)}): they do not overlap", "check the pair and both coordinate systems")]  # fmt: skip
    found = (
        []
        if same_place(mine.crs, theirs.crs, theirs.bounds, 0.01 * min(theirs.pixel_size))
        else crs_findings(path, mine.crs, image)
    )
    found.append(Finding("warning", "labels-warped", path, f"{sizes}, or they lie apart: warped by nearest neighbour",
                         "burn or warp the labels onto the image's grid"))  # fmt: skip
    if part < 0.99:
        found.append(
            Finding(
                "warning",
                "labels-partial",
                path,
                f"covers {share(part)} of {image.path.name}; the rest is ignored",
                "check the pair",
            )
        )
    return found
