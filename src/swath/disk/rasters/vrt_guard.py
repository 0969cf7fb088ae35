"""VRTs of strangers made plain: a document of our own with the few elements that place pixels of allowed rasters.

GDAL's VRT driver can run code, read any file as raw pixels and follow any name to any driver. It never sees the file
itself: the text is parsed here, everything that is not known to be harmless is refused by its name, and what is left is
written anew, with absolute names of sources that were opened before, each by an allowed driver and within the limits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, ParseError, SubElement

from swath.core.errors import DataError

MAX_XML, MAX_SOURCES, MAX_DEPTH = 4_000_000, 20_000, 2
MAX_SHRINK = 32  # times that a source may be shrunk by a filter, which reads all it covers at once
_HEAD = 4096  # bytes in which GDAL looks for the marks of formats that are texts
_MARKS = (b"<VRTDataset", b"<GDALTileIndexDataset", b"<GDAL_WMS", b"<OGRVRT", b"<WMS_", b"<Capabilities")
_ASIDE = {"Metadata", "OverviewList", "GCPList", "Histograms", "CategoryNames", "Overview", "UnitType", "Offset", "Scale",
          "BlockXSize", "BlockYSize"}  # fmt: skip
_OF_BAND = ("Description", "NoDataValue", "HideNoDataValue", "ColorInterp")
_OF_COMPLEX = ("ScaleOffset", "ScaleRatio", "NODATA", "UseMaskBand", "ColorTableComponent")
_SOURCES = ("SimpleSource", "ComplexSource")
GDAL_TYPES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32", "int32": "Int32",
    "uint64": "UInt64", "int64": "Int64", "float16": "Float16", "float32": "Float32", "float64": "Float64",
}  # fmt: skip
_NAMES = {name.lower(): name for name in (
    "VRTDataset", "VRTRasterBand", "MaskBand", "SRS", "GeoTransform", "ColorTable", "Entry", "SourceFilename", "SourceBand",
    "SourceProperties", "SrcRect", "DstRect", "rasterXSize", "rasterYSize", "subClass", "relativeToVRT", "xOff", "yOff",
    "xSize", "ySize", "dataType", *_ASIDE, *_OF_BAND, *_OF_COMPLEX, *_SOURCES)}  # fmt: skip
_WRITE = "write its pixels out where you trust it: gdal_translate IN.vrt OUT.tif"


@dataclass(frozen=True)
class Source:
    """What the header of an allowed raster says: size, the types of its bands as GDAL calls them, block (rows, columns)."""

    width: int
    height: int
    dtypes: tuple[str, ...]
    block: tuple[int, int]


@dataclass(frozen=True)
class PlainVrt:
    """A document that GDAL may open, and the files that it stands on, those of VRTs within included."""

    text: str
    files: tuple[Path, ...]


def plain_vrt(path: Path, look: Callable[[Path], Source]) -> PlainVrt:
    """The plain form of a VRT. `look` opens a source that is no VRT and raises DataError where that is not allowed.

    Raises DataError: `vrt-refused` naming what in it is not read, `vrt-source` naming the source that cannot be.
    """
    return _Reading(path, look).document(path, ())


class _Reading:
    """One VRT being read, with the VRTs inside of it: they share the limits."""

    def __init__(self, path: Path, look: Callable[[Path], Source]) -> None:
        self.path, self.look = path, look
        self.sources = self.length = 0
        self.files: dict[Path, None] = {}
        self.seen: dict[Path, tuple[str, Source]] = {}

    def refused(self, what: str, fix: str = _WRITE) -> DataError:
        return DataError("vrt-refused", self.path, what, fix)

    def document(self, path: Path, above: tuple[Path, ...]) -> PlainVrt:
        root, here = _parsed(self, path), path.resolve()
        if root.tag != "VRTDataset":
            raise self.refused(f"holds <{root.tag}>, no raster", "name a raster")
        if root.get("subClass"):
            raise self.refused(f"is a {root.get('subClass')}: only plain mosaics of rasters are read")
        out = Element("VRTDataset", {k: str(self.side(root, k)) for k in ("rasterXSize", "rasterYSize")})
        for child in root:
            if child.tag == "SRS":
                if re.match(r"\s*(\w+://|/|@)", child.text or ""):
                    raise self.refused("its <SRS> is the name of a file or of a remote place")
                _copied(child, out, "dataAxisToSRSAxisMapping", "coordinateEpoch")
            elif child.tag == "GeoTransform":
                _numbers(self, child, (child.text or "").split(","), 6)
                _copied(child, out)
            elif child.tag == "VRTRasterBand":
                self.band(child, out, (*above, here))
            elif child.tag == "MaskBand":
                mask = SubElement(out, "MaskBand")
                for band in self.only(child, "VRTRasterBand"):
                    self.band(band, mask, (*above, here))
            elif child.tag not in _ASIDE:
                raise self.refused(f"has <{child.tag}>, which is not read")
        text = ElementTree.tostring(out, encoding="unicode")
        self.length += len(text)
        if self.length > 8 * MAX_XML:
            raise self.refused("refers to VRTs that are too long all together")
        return PlainVrt(text, tuple(self.files))

    def band(self, band: Element, parent: Element, above: tuple[Path, ...]) -> None:
        if band.get("subClass", "VRTSourcedRasterBand") != "VRTSourcedRasterBand":
            raise self.refused(f"has a band of the kind {band.get('subClass')}, which is not read")
        out = SubElement(parent, "VRTRasterBand", {k: band.attrib[k] for k in ("dataType", "band") if k in band.attrib})
        for child in band:
            if child.tag in _SOURCES:
                self.source(child, out, above)
            elif child.tag in _OF_BAND:
                _copied(child, out)
            elif child.tag == "ColorTable":
                table = SubElement(out, "ColorTable")
                for entry in self.only(child, "Entry"):
                    _copied(entry, table, "c1", "c2", "c3", "c4")
            elif child.tag not in _ASIDE:
                raise self.refused(f"has a band with <{child.tag}>, which is not read")

    def source(self, source: Element, parent: Element, above: tuple[Path, ...]) -> None:
        self.sources += 1
        if self.sources > MAX_SOURCES:
            raise self.refused(f"has more than {MAX_SOURCES:,} sources")
        out = SubElement(parent, source.tag, {"resampling": v} if (v := source.get("resampling")) else {})
        name = source.find("SourceFilename")
        if name is None or not (name.text or "").strip():
            raise self.refused(f"has a <{source.tag}> without file")
        told, found = self.opened((name.text or "").strip(), name.get("relativeToVRT") == "1", above)
        SubElement(out, "SourceFilename", relativeToVRT="0", shared="0").text = told  # each handle has its own sources
        band = source.findtext("SourceBand", "1").strip()
        number = re.fullmatch(r"(?:mask,)?(\d{1,5})|mask", band)
        if number is None or not 1 <= int(number[1] or 1) <= len(found.dtypes):
            raise self.refused(f"takes band {band[:20]} of {Path(name.text or '').name}, which has {len(found.dtypes)}")
        SubElement(out, "SourceBand").text = band
        SubElement(out, "SourceProperties", RasterXSize=str(found.width), RasterYSize=str(found.height),
                   DataType=found.dtypes[int(number[1] or 1) - 1], BlockXSize=str(found.block[1]),
                   BlockYSize=str(found.block[0]))  # fmt: skip
        rects: dict[str, list[float]] = {}
        for child in source:
            if child.tag in ("SrcRect", "DstRect"):
                sides = ("xOff", "yOff", "xSize", "ySize")
                rects[child.tag] = _numbers(self, child, [child.get(k, "") for k in sides], 4)
                _copied(child, out, *sides)
            elif source.tag == "ComplexSource" and child.tag in _OF_COMPLEX:
                _copied(child, out)
            elif child.tag not in ("SourceFilename", "SourceBand", "SourceProperties"):
                raise self.refused(f"has a <{source.tag}> with <{child.tag}>, which is not read")
        if source.get("resampling", "nearest").lower() not in ("near", "nearest"):
            there = rects.get("SrcRect", [0, 0, found.width, found.height])
            here = rects.get("DstRect", [0, 0, 1, 1])
            if any(there[k] > MAX_SHRINK * max(here[k], 1e-9) for k in (2, 3)):
                raise self.refused(f"shrinks a source more than {MAX_SHRINK} times with {source.get('resampling')}")

    def opened(self, name: str, relative: bool, above: tuple[Path, ...]) -> tuple[str, Source]:
        """What GDAL is to open for a source, and what its header says."""
        shown = name if len(name) <= 80 else f"{name[:77]}..."
        if name.startswith(("<", "/vsi", "\\")) or "://" in name or "\0" in name:
            raise DataError("vrt-source", self.path, f"its source {shown!r} is no local file", "name rasters by their paths")
        file = Path(above[-1].parent / name if relative else name).absolute()
        if file not in self.seen:
            if not file.is_file():
                raise DataError("vrt-source", self.path, f"its source {shown} is no file that is there",
                                "put it where the VRT says, or make the VRT anew")  # fmt: skip
            self.seen[file] = self.nested(file, shown, above) if file.suffix.lower() == ".vrt" else self.raster(file, shown)
            self.files[file] = None
        told, found = self.seen[file]
        self.length += len(told) if told.startswith("<") else 0
        if self.length > 8 * MAX_XML:
            raise self.refused("refers to VRTs that are too long all together")
        return told, found

    def raster(self, file: Path, shown: str) -> tuple[str, Source]:
        with file.open("rb") as f:
            head = f.read(_HEAD)
        if any(mark in head for mark in _MARKS):  # GDAL might take it for something else than `look` does
            raise DataError("vrt-source", self.path, f"its source {shown} is no plain raster", "name plain rasters")
        try:
            return str(file), self.look(file)
        except DataError as e:
            raise DataError("vrt-source", self.path, f"its source {shown}: {e.message}", e.fix) from e

    def nested(self, file: Path, shown: str, above: tuple[Path, ...]) -> tuple[str, Source]:
        if file.resolve() in above:
            raise self.refused(f"is a source of itself, through {shown}", "make it anew of plain rasters")
        if len(above) > MAX_DEPTH:
            raise self.refused(f"has VRTs in VRTs deeper than {MAX_DEPTH} ({shown})", "make it of plain rasters")
        told = self.document(file, above)
        root = ElementTree.fromstring(told.text)
        kinds = tuple(b.get("dataType", "Byte") for b in root.findall("VRTRasterBand"))
        return told.text, Source(self.side(root, "rasterXSize"), self.side(root, "rasterYSize"), kinds, (128, 128))

    def side(self, root: Element, key: str) -> int:
        text = root.get(key, "")
        if not re.fullmatch(r"\d{1,9}", text) or int(text) == 0:
            raise self.refused(f"has no size: {key} is {text[:20]!r}", "make it anew")
        return int(text)

    def only(self, parent: Element, tag: str) -> Iterable[Element]:
        for child in parent:
            if child.tag != tag:
                raise self.refused(f"has <{parent.tag}> with <{str(child.tag)[:40]}>, which is not read")
            yield child


def _parsed(reading: _Reading, path: Path) -> Element:
    """The root of a VRT's text."""
    if path.stat().st_size > MAX_XML:
        raise reading.refused(f"{path.name} is longer than {MAX_XML / 1e6:.0f} MB of XML")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise reading.refused("has a document type of its own, which is not read")
        root = ElementTree.fromstring(text)
    except (UnicodeDecodeError, ParseError) as e:
        raise reading.refused(f"{path.name} is no XML ({e})", "make it anew") from e
    for element in root.iter():  # GDAL does not mind capitals
        element.tag = _NAMES.get(element.tag.lower(), element.tag)
        element.attrib = {_NAMES.get(k.lower(), k): v for k, v in element.attrib.items()}
    return root


def _numbers(reading: _Reading, element: Element, texts: list[str], count: int) -> list[float]:
    """The numbers of an element. Raises DataError where it does not hold so many finite ones."""
    try:
        values = [float(t) for t in texts]
    except ValueError:
        values = []
    if len(values) != count or not all(math.isfinite(v) for v in values):
        raise reading.refused(f"has a <{element.tag}> that is not {count} numbers", "make it anew")
    return values


def _copied(element: Element, parent: Element, *keys: str) -> None:
    """Adds a copy of an element to a parent: its text and the named attributes, nothing below it."""
    SubElement(parent, element.tag, {k: element.attrib[k] for k in keys if k in element.attrib}).text = element.text
