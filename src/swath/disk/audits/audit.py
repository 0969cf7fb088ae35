"""Findings: what `check` has to say. This file holds the table of all codes, and the findings on single rasters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from swath.core.errors import SwathError
from swath.disk.sources.probe import Probe
from swath.specs import BandsSpec

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")

FINDINGS: dict[str, str] = {
    # files
    "file-missing": "a file does not exist",
    "inputs-none": "an input stands for no file",
    "points-refused": "sample points whose patch lies off the image or on nodata",
    "points-placed": "how many sample points the scenes hold",
    "labels-points": "points that stand for labels of single pixels",
    "stac-item": "a STAC item that is broken, or names no raster",
    "stac-assets-absent": "assets of a STAC item that are not beside it",
    "remote-off": "all assets of a STAC item lie elsewhere, and remote places are off",
    "raster-unreadable": "a file cannot be opened as a raster",
    "vrt-refused": "a VRT holds more than plain rasters side by side",
    "vrt-source": "a source of a VRT is missing or not allowed",
    "raster-corrupt": "a block of a raster cannot be read",
    "raster-truncated": "blocks of a raster lie beyond the end of its file",
    "raster-empty": "a raster has no bands",
    "raster-limits": "a raster is larger than Swath allows",
    "raster-dtype": "pixels are no integers or floats",
    "raster-block": "one block of a raster is too large to decode",
    "vector-unreadable": "a file cannot be read as a vector",
    "path-name": "a vector file whose path holds a character that it cannot be found by",
    "vector-format": "a vector format that is not read",
    "vector-empty": "a vector file without layers",
    "vector-no-geometry": "a layer without geometries",
    "vector-no-features": "a layer without features",
    "layer-missing": "the named layer does not exist",
    "manifest-format": "no manifest format",
    "manifest-text": "a manifest that is not text",
    "manifest-header": "a manifest without the column image",
    "manifest-row": "a row with more values than columns",
    "manifest-rows": "a JSON manifest without a list of scenes",
    "manifest-image": "a row without image",
    "manifest-aoi": "a row that names several files as its area of interest",
    "manifest-labels": "a row whose labels are several files, one of them a raster, or a folder or pattern without a file",
    "manifest-split": "an unknown split",
    "manifest-empty": "a manifest without scenes",
    # where a raster is
    "no-georeference": "a raster without coordinate system",
    "not-warped": "an image with ground control points or rational polynomials instead of a grid",
    "grid-rotated": "a grid that is not north up",
    "crs-unknown": "a coordinate system that is not understood",
    "crs-apart": "no transformation leads from one coordinate system to another",
    "crs-missing": "one of image and labels has a coordinate system, the other has none",
    "crs-code-differs": "coordinate systems of image and labels are called differently but agree",
    "crs-reprojected": "labels are reprojected to the image",
    "crs-several": "scenes in several coordinate systems",
    "crs-units": "scenes in different units",
    "gsd-differs": "pixel sizes on the ground differ by more than 20 %",
    "raster-small": "a raster smaller than the network's stride",
    # nodata and values
    "nodata-collision": "the nodata value is also a value of the data",
    "nodata-beyond": "no pixel of this type can hold the nodata value",
    "nodata-undeclared": "a value that fills pixels like nodata but is not declared",
    "not-finite": "NaN or infinity in the pixels",
    "pixels-none": "no valid pixel",
    "saturated": "many pixels at the end of the type's range",
    "palette": "pixels are indexes into a palette",
    "band-alpha": "an alpha band or mask is used as mask",
    "band-constant": "a band that holds one value",
    "band-duplicate": "two bands with the same pixels",
    "band-codes": "a band of codes, not amounts",
    "band-missing": "a band that the model needs is not there",
    "bands-fewer": "a scene lacks bands that others have",
    "bands-more": "a scene has bands that are not used",
    "bands-order": "the same band names in another order",
    "dtype-range": "an integer type of which less than 2 % is used",
    "dtype-differs": "scenes of different types",
    "range-differs": "a scene whose values lie far from those of training",
    # labels
    "labels-none": "no labels",
    "labels-grid": "label raster and image have different sizes and no place",
    "labels-crs": "the labels' coordinate system cannot be transformed",
    "labels-disjoint": "labels and image do not overlap",
    "labels-absent": "no label touches the image",
    "labels-partial": "labels cover part of the image, or lie partly outside all images",
    "labels-sparse": "labels cover little of the images, the rest counts as background",
    "labels-warped": "a label raster on another grid is warped by nearest neighbour",
    "labels-bands": "a label raster with several bands",
    "labels-colours": "a colour mask with values that no colour has",
    "labels-many": "several label files, of which one is a raster or holds points",
    "labels-priority": "a priority field that holds numbers in one file and texts in another",
    "labels-continuous": "a label raster with too many values for classes",
    "labels-nodata-class": "the nodata tag of a label raster is a class",
    "labels-nodata": "nodata pixels of a label raster are ignored",
    "labels-values": "the values of a label raster",
    "labels-pair": "labels are named like another scene's image",
    "labels-cross-edge": "polygons reach over the image's edge",
    "field-missing": "the class field does not exist",
    "field-none": "no field holds the class",
    "field-unused": "all polygons are one class",
    "class-unknown": "label values without a class",
    "class-null": "features without a class",
    "class-zero": "polygons of class 0",
    "class-text": "class ids stored as text",
    "geometry-empty": "geometries that are null, empty or not finite",
    "geometry-not-areal": "points or lines",
    "geometry-invalid": "invalid geometries",
    "geometry-beyond": "geometries that reach to where the image's coordinate system ends",
    "geometry-twice": "the same geometry more than once",
    "aoi-disjoint": "an area of interest that misses its image",
    # classes and splits
    "class-never": "a class that never occurs",
    "classes-one": "training labels of a single class",
    "class-absent": "a class that does not occur in a split",
    "class-rare": "a class of less than 0.5 % of the training pixels",
    "band-is-label": "a band that predicts the label almost alone",
    "band-follows-label": "a band that looks made from maps of the same classes",
    "split-carved": "splits that are carved out of training",
    "split-buffer": "more than a fifth of the labels lie in buffers between splits",
    "split-empty": "a split without labelled pixels",
    "samples-few": "very few training pixels",
    "split-same-image": "one file in two splits",
    "split-same-content": "the same pixels in two splits",
    "split-overlap": "scenes of different splits overlap on the ground",
    "split-group": "a group of scenes is in several splits",
    "split-context": "pixels around labels that samples of two splits see",
    "image-twice": "one image in several rows",
}


@dataclass(frozen=True)
class Finding:
    """One thing to know. `path` is a file or config, `place` what in it, `files` all files that it is true of."""

    level: Level
    code: str
    path: Path
    message: str
    fix: str = ""
    place: str = ""
    files: tuple[Path, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The finding as plain JSON values."""
        where = f"{self.path.absolute()} {self.place}".strip()
        files = [str(f.absolute()) for f in self.files or (self.path,)]
        return {
            "level": self.level,
            "code": self.code,
            "where": where,
            "message": self.message,
            "fix": self.fix,
            "files": files,
        }


def from_error(error: SwathError, path: Path) -> Finding:
    """The finding of level error that an error of a file is."""
    place = error.where.replace(str(path.absolute()), "").replace(str(path), "").strip()
    return Finding("error", error.code, path, error.message, error.fix, "" if place == path.name else place)


def merged(findings: Iterable[Finding], total: int, of: str = "rasters") -> list[Finding]:
    """One finding per level, code and place; the first speaks for the others, `files` lists them. Errors stay apart."""
    groups: dict[Any, list[Finding]] = {}
    for n, f in enumerate(findings):
        groups.setdefault(n if f.level == "error" else (f.level, f.code, f.place), []).append(f)
    out = []
    for first, *others in groups.values():
        files = tuple(dict.fromkeys(f.path for f in (first, *others)))
        more = f" (and {len(files) - 1} more of {total} {of})" if len(files) > 1 else ""
        out.append(replace(first, message=first.message + more, files=files))
    return out


def share(part: float, whole: float = 1.0) -> str:
    """A share as text: `0.39 %`."""
    percent = 100 * part / whole if whole else 0.0
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"


def shown(values: Iterable[Any], most: int = 8) -> str:
    """The first values as text: `1, 2, 3 and 4 more`."""
    listed = [f"{v:g}" if isinstance(v, float) else str(v) for v in values]
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def raster_findings(probes: Sequence[Probe], bands: BandsSpec, stride: int = 1) -> list[Finding]:
    """The findings on each of some images as such, alike ones told once."""
    found: list[Finding] = []
    for p in probes:
        found += [*_header(p, stride), *_nodata(p, bands.nodata), *_pixels(p), *_bands(p, bands.method)]
    return merged([f for f in found if f.code not in _COMMON or _is_common(f, found, probes)], len(probes))


_COMMON = {"band-constant", "band-codes"}  # true of a single small scene by chance


def _is_common(finding: Finding, found: list[Finding], probes: Sequence[Probe]) -> bool:
    """True where at least half of the rasters that can show it have the same finding."""
    alike = sum(f.code == finding.code and f.place == finding.place for f in found)
    constant = sum(f.code == "band-constant" and f.place == finding.place for f in found)
    able = len(probes) - (constant if finding.code == "band-codes" else 0)
    return 2 * alike >= able


def _header(p: Probe, stride: int) -> Iterator[Finding]:
    info, path = p.info, p.info.path
    grid = info.grid
    if info.control:
        yield Finding("warning", "not-warped", path, f"its place is told by {info.control}, which are not applied: it is read as an "
                      "image without place", "warp it: gdalwarp -t_srs EPSG:N IN OUT.tif")  # fmt: skip
    elif grid.crs is None:
        yield Finding("note", "no-georeference", path, "has no coordinate system: sizes stay in pixels, its map has no place",
                      "if it is known: gdal_edit.py -a_srs EPSG:N")  # fmt: skip
    if grid.crs is not None and (grid.transform.b != 0 or grid.transform.d != 0 or grid.transform.e > 0):
        yield Finding("note", "grid-rotated", path, "its grid is rotated or flipped; pixels are used as they lie")
    if info.alpha or info.masked:
        what = f"band {info.alpha} is alpha" if info.alpha else "it has a mask of its own"
        yield Finding("note", "band-alpha", path, f"{what}: used as mask, not as a band")
    if info.palette and info.count == 1:
        yield Finding("warning", "palette", path, "its pixels are indexes into a palette, no amounts of light",
                      "expand it: gdal_translate -expand rgb IN OUT")  # fmt: skip
    if min(grid.shape) < stride:
        yield Finding("warning", "raster-small", path, f"is {grid.width} x {grid.height} pixels, the network works on "
                      f"multiples of {stride}: it is extended", "use larger scenes or a smaller model.depth")  # fmt: skip


def _nodata(p: Probe, rule: str) -> Iterator[Finding]:
    path, tags = p.info.path, {t for t in p.tags if t is not None and t == t}
    kind = np.dtype(p.info.dtype)
    if kind.kind in "iu" and tags and all(not np.iinfo(kind).min <= t <= np.iinfo(kind).max or t % 1 for t in tags):
        yield Finding(
            "note", "nodata-beyond", path, f"declares nodata {shown(sorted(tags))}, which no {kind} pixel can be"
        )
    collision = _collision(p, rule)
    if collision:
        often = p.some_nodata > p.all_nodata * 2 or p.some_nodata - p.all_nodata > 0.001 * p.looked or len(p.bands) == 1
        yield Finding("warning" if often else "note", "nodata-collision", path, f"declares nodata {shown(sorted(tags))}, "
                      + collision, "if the tag is wrong: bands.nodata=none, or gdal_edit.py -unsetnodata")  # fmt: skip
    if p.border and p.border[1] > 0.01 and p.border[0] not in tags:
        yield Finding("warning", "nodata-undeclared", path, f"{share(p.border[1])} of the pixels, also in a corner, are "
                      f"{p.border[0]:g} in all bands and no nodata value is declared: they count as data",
                      f"set bands.nodata_value={p.border[0]:g} if they hold no data")  # fmt: skip
    for b in p.bands:
        if b.filler and not (p.border and p.border[0] == b.filler[0]):
            others = f", far from all others ({b.filler[2]:g} to {b.filler[3]:g})" if b.filler[1] < 1 else ""
            yield Finding("warning", "nodata-undeclared", path, f"{share(b.filler[1])} of the pixels are {b.filler[0]:g}{others}, and "
                          "not declared as nodata: they count as data",
                          "declare it: gdal_edit.py -a_nodata, or leave the band out with bands.select",
                          f"band {b.number}")  # fmt: skip


def _collision(p: Probe, rule: str) -> str:
    """Why the nodata value is also a value of the data; empty where it is not."""
    if p.some_nodata == 0:
        return ""
    of = f"of {p.looked:,} pixels" + ("" if p.whole else " looked at")
    if len(p.bands) > 1 and p.some_nodata > p.all_nodata:
        dropped = {"all": p.all_nodata, "any": p.some_nodata, "none": 0}[rule]
        return (f"which is also a value of the data: {p.some_nodata:,} {of} have it in some band, {p.all_nodata:,} in all; "
                f"by the rule '{rule}' {dropped:,} of them count as nodata")  # fmt: skip
    facts, tag = p.bands[0], p.tags[0]
    if len(p.bands) > 1 or tag is None or p.valid == 0:
        return ""
    values = sorted({*(facts.distinct or ()), tag})
    if (
        facts.distinct
        and len(values) <= 8
        and np.isfinite(values).all()
        and values == list(range(int(values[0]), int(values[0]) + len(values)))
    ):
        return (f"which is one of its few values ({shown(values)}): as labels it counts as a class where `classes` has it, as an "
                f"image {p.all_nodata:,} {of} are nodata")  # fmt: skip
    if facts.minimum < tag < facts.maximum:
        return f"which lies inside the range of the data ({facts.minimum:g} to {facts.maximum:g}): {p.all_nodata:,} {of} are dropped"
    return ""


def _pixels(p: Probe) -> Iterator[Finding]:
    path = p.info.path
    if p.not_finite:
        yield Finding("warning", "not-finite", path, f"{share(p.not_finite, p.looked)} of the pixels are NaN or infinite in a "
                      "band: they count as nodata")  # fmt: skip
    if p.valid == 0:
        yield Finding(
            "warning", "pixels-none", path, "no valid pixel was seen", "check its nodata value, mask and alpha"
        )


def _bands(p: Probe, method: str) -> Iterator[Finding]:
    path, kind = p.info.path, np.dtype(p.info.dtype)
    seen = [b for b in p.bands if b.minimum <= b.maximum]
    for b in seen:
        place, name = f"band {b.number}", f"({b.name}) " if b.name != f"b{b.number}" else ""
        if b.minimum == b.maximum and len(p.bands) == 1 and p.some_nodata:
            continue  # a mask of which the tag hides the rest: told as a collision
        if b.minimum == b.maximum:
            yield Finding("warning", "band-constant", path, f"{name}is {b.minimum:g} everywhere: it carries nothing",
                          "leave it out with bands.select", place)  # fmt: skip
        elif b.twin:
            yield Finding("warning", "band-duplicate", path, f"{name}has the same pixels as band {b.twin}",
                          "leave it out with bands.select", place)  # fmt: skip
        elif b.codes and p.looked >= 2000:
            alone = p.info.count == 1
            yield Finding("note" if alone else "warning", "band-codes", path, f"{name}holds {len(b.distinct or ())} values "
                          f"({shown(b.distinct or ())}) as codes do: they would be scaled as amounts",
                          "" if alone else "leave it out with bands.select", place)  # fmt: skip
        elif (
            kind.kind in "iu"
            and b.mode_share > 0.05
            and b.mode in (np.iinfo(kind).min, np.iinfo(kind).max)
            and not p.border
        ):
            yield Finding("warning", "saturated", path, f"{name}{share(b.mode_share)} of its pixels are {b.mode:g}, an end of "
                          f"the range of {kind}: clipped, or nodata that is not declared", "", place)  # fmt: skip
    wide = kind.kind in "iu" and (kind.itemsize > 1 or method == "dtype")
    if seen and wide and (top := max(b.maximum for b in seen)) < 0.02 * np.iinfo(kind).max:
        handled = (
            "scaling comes from the values"
            if method != "dtype"
            else "with bands.method=dtype the model sees almost nothing"
        )
        yield Finding("warning" if method == "dtype" else "note", "dtype-range", path, f"scaling by its type {kind} would be nearly "
                      f"zero (largest value {top:g} of {np.iinfo(kind).max:,}); {handled}",
                      "use bands.method=standard" if method == "dtype" else "")  # fmt: skip
