"""Findings between scenes: what differs from scene to scene, and what leaks from split to split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from pyproj.exceptions import ProjError

from swath.core.errors import DataError
from swath.core.grid import Grid
from swath.core.splits import Region
from swath.disk.audits.audit import Finding, merged, share, shown
from swath.disk.audits.labels import footprint
from swath.disk.rasters.crs import crs_name, metres_per_pixel, parse_crs, project
from swath.disk.sources.probe import BandFacts, Probe
from swath.specs import BandsSpec

FACTOR, GSD_TOLERANCE = 3.0, 0.2
_SIGMAS = 4.1  # standard deviations between the 2nd and the 98th percentile of a normal distribution
_LARGE = 250_000  # pixels from which on a scene should hold some of everything


@dataclass(frozen=True)
class Member:
    """An image among others: its split (None: training, or a loose file) and the label regions of each split in it."""

    path: Path
    split: str | None
    probe: Probe
    regions: tuple[Region, ...] = ()
    inside_area: bool = False

    @property
    def trains(self) -> bool:
        """True for a training scene."""
        return self.split in (None, "trn")


def image_findings(members: Sequence[Member], bands: BandsSpec) -> list[Finding]:
    """What differs between images that go through one model: types, ranges, order of bands, pixel sizes, CRS."""
    training = [m for m in members if m.trains] or list(members)
    if not training:
        return []
    numbers = [b.number for b in training[0].probe.bands]
    alike = [m for m in members if [b.number for b in m.probe.bands] == numbers]
    reference = [m for m in alike if m.trains] or alike
    found = [
        *_types(alike, reference, bands.method),
        *_ranges(alike, reference, bands.scope),
        *_order(alike, reference[0]),
    ]
    return merged([*found, *_sizes(members, training), *_systems(members)], len(members))


def _types(members: Sequence[Member], reference: Sequence[Member], method: str) -> Iterator[Finding]:
    usual = Counter(m.probe.info.dtype for m in reference).most_common(1)[0][0]
    how = (
        "scaling comes from values, not from the dtype: handled"
        if method != "dtype"
        else "but bands.method=dtype scales by one of them"
    )
    for m in members:
        dtype, top = m.probe.info.dtype, max((b.maximum for b in m.probe.bands), default=np.nan)
        if dtype == usual:
            continue
        low = min((b.minimum for b in m.probe.bands), default=np.nan)
        holds = (
            f"holding only {low:g} to {top:g}"
            if usual == "uint8" and low >= 0 and top <= 255
            else f"holding {low:g} to {top:g}"
        )
        remedy = "" if method != "dtype" else "use bands.method=standard"
        yield Finding("warning", "dtype-differs", m.path, f"is {dtype} {holds}, beside {usual} rasters; {how}", remedy)


def _ranges(members: Sequence[Member], reference: Sequence[Member], scope: str) -> Iterator[Finding]:
    """Scenes whose values lie far from those of all other training scenes, in at least half of their bands."""
    usual = _Usual(reference)
    handled = scope == "image"
    fits = "each raster is scaled by itself: handled" if handled else "a model sees it as something else"
    remedy = "" if handled else "check its unit and scaling; for contrast alone: bands.scope=image"
    for m in members:
        if len(members) == 1 or m.probe.valid == 0:
            continue
        large = m.probe.info.grid.height * m.probe.info.grid.width >= _LARGE
        amounts = [(b, n) for n, b in enumerate(m.probe.bands) if not b.distinct or len(b.distinct) > 8]
        off = {b.number: why for b, n in amounts if (why := off_range(b, usual.range(n, m), large))}
        if off and 2 * len(off) >= len(m.probe.bands):
            number, why = next(iter(off.items()))
            level: Any = "note" if handled else "warning"
            yield Finding(level, "range-differs", m.path, f"band {number} {why}; {fits}", remedy)


class _Usual:
    """The range of each band over the training scenes but the one that is asked for (up to 256 of them)."""

    def __init__(self, reference: Sequence[Member]) -> None:
        self.places = {id(m): n for n, m in enumerate(reference)}
        keep = max(16, 20_000 // len(reference))
        samples = [m.probe.sample for m in reference]
        thin = [s[:, :: max(1, s.shape[1] // keep)] for s in samples]
        self.values = np.concatenate(thin, axis=1).astype(np.float64)
        self.owner = np.repeat(np.arange(len(thin)), [t.shape[1] for t in thin])

    def range(self, band: int, without: Member) -> tuple[float, float, float]:
        """The 2nd, 50th and 98th percentile; NaN where nothing is left."""
        values, place = self.values[band], self.places.get(id(without))
        if place is not None and 1 < len(self.places) <= 256:
            values = values[self.owner != place]
        low, median, high = np.quantile(values, (0.02, 0.5, 0.98)).tolist() if values.size else (np.nan,) * 3
        return low, median, high


def off_range(band: BandFacts, pooled: tuple[float, float, float], large: bool) -> str:
    """How a band's values lie far from those of training; empty where they do not."""
    low, median, high = pooled
    spread, mine = high - low, band.high - band.low
    if not spread > 0 or not np.isfinite(mine):
        return ""
    span = f"({band.low:g} to {band.high:g}, usual {low:g} to {high:g})"
    if mine > FACTOR * spread:
        return f"spreads {mine / spread:.1f} times as wide as usual {span}"
    if (large and mine * FACTOR < spread) or (band.minimum >= 0 and band.maximum * 10 < median):
        return f"spreads over {share(mine / spread)} of the usual range {span}"
    if abs(band.median - median) > FACTOR * spread / _SIGMAS and (band.low > high or band.high < low):
        return f"lies beside the usual range {span}"
    return ""


def _order(members: Sequence[Member], first: Member) -> Iterator[Finding]:
    usual = [b.name.lower() for b in first.probe.bands]
    for m in members:
        names = [b.name.lower() for b in m.probe.bands]
        if names != usual and sorted(names) == sorted(usual):
            yield Finding("error", "bands-order", m.path, f"its bands are {', '.join(names)}, those of {first.path.name} {', '.join(usual)}",
                          "bands are taken by number: reorder them with gdal_translate -b, or correct the descriptions")  # fmt: skip


def _sizes(members: Sequence[Member], reference: Sequence[Member]) -> Iterator[Finding]:
    sizes = {m.path: _gsd(m.probe.info.grid) for m in members}
    known = [s for m in reference if (s := sizes[m.path])]
    if not known:
        return
    usual = float(np.median(known))
    for m in members:
        size = sizes[m.path]
        if size and max(size / usual, usual / size) > 1 + GSD_TOLERANCE:
            yield Finding("warning", "gsd-differs", m.path, f"a pixel is {size:.3g} m wide, {usual:.3g} m is usual: objects look "
                          "larger or smaller to the model", "resample it: gdalwarp -tr")  # fmt: skip


def _gsd(grid: Grid) -> float | None:
    metres = metres_per_pixel(grid)
    return None if metres is None else (metres[0] * metres[1]) ** 0.5


def _systems(members: Sequence[Member]) -> Iterator[Finding]:
    systems = {m.probe.info.grid.crs: m for m in members if m.probe.info.grid.crs}
    names = {crs_name(c): m for c, m in systems.items()}
    if len(names) > 1:
        last = list(names.values())[-1]
        yield Finding("note", "crs-several", last.path, f"scenes lie in {shown(names)}; every map keeps its own")
    units = {parse_crs(c).axis_info[0].unit_name: m for c, m in systems.items() if c and parse_crs(c).axis_info}
    if len(units) > 1:
        last = list(units.values())[-1]
        yield Finding(
            "note",
            "crs-units",
            last.path,
            f"coordinates are in {shown(units)}; areas and sizes are measured on the ellipsoid",
        )


def leak_findings(members: Sequence[Member]) -> list[Finding]:
    """Pixels that two splits share: one file, the same content under two names, the same ground."""
    found: list[Finding] = []
    files: dict[Path, list[Member]] = {}
    for m in members:
        files.setdefault(m.path.resolve(), []).append(m)
    for rows in files.values():
        splits = sorted({m.split or "trn" for m in rows})
        areas = all(m.inside_area for m in rows)
        if len(splits) > 1 and not areas:
            found.append(Finding("error", "split-same-image", rows[0].path, f"is in the splits {' and '.join(splits)}: scores would "
                                 "be of pixels that were trained on", "keep one row, or cut it by areas of interest (column aoi)"))  # fmt: skip
        elif len(rows) > 1 and not areas:
            found.append(Finding("warning", "image-twice", rows[0].path, f"stands in {len(rows)} rows of {splits[0]}: it weighs "
                                 f"{len(rows)} times", "keep one row, or merge the labels"))  # fmt: skip
    return merged(
        [*found, *_same_content([rows[0] for rows in files.values()]), *_overlaps(members)], len(members), "scenes"
    )


def _same_content(members: Sequence[Member]) -> Iterator[Finding]:
    groups: dict[str, list[Member]] = {}
    for m in members:
        if m.probe.content and any(b.minimum < b.maximum for b in m.probe.bands):  # empty tiles are alike anywhere
            groups.setdefault(m.probe.content, []).append(m)
    for first, *others in groups.values():
        for m in others:
            splits = m.split or "trn", first.split or "trn"
            if splits[0] != splits[1]:
                yield Finding("warning", "split-same-content", m.path, f"holds the same pixels as {first.path.name}, in the splits "
                              f"{splits[0]} and {splits[1]}: scores would be of pixels that were trained on", "keep one of them")  # fmt: skip
            else:
                yield Finding(
                    "warning",
                    "image-twice",
                    m.path,
                    f"holds the same pixels as {first.path.name}: they weigh twice",
                    "keep one of them",
                )


def _overlaps(members: Sequence[Member]) -> Iterator[Finding]:
    placed = [(m, *found) for m in members for found in _shapes(m, members)]
    tree = shapely.STRtree([shape for _, _, shape, _ in placed])
    told: dict[int, list[tuple[float, str, bool]]] = {}
    for n, (m, split, shape, _) in enumerate(placed):
        pixel = shapely.area(shape) / max(1, _pixels(m, split))
        for other in tree.query(shape, "intersects").tolist() if split != "trn" else ():
            theirs, their_split, their_shape, their_labels = placed[other]
            if (
                their_split == split
                or theirs.path.resolve() == m.path.resolve()
                or (their_split != "trn" and other > n)
            ):
                continue
            common = shapely.intersection(shape, their_shape)
            left, bottom, right, top = shapely.bounds(common)
            if shapely.area(common) >= pixel and min(right - left, top - bottom) > 0.5 * pixel**0.5:
                cut = shapely.area(shapely.intersection(shape, their_labels)) < pixel
                told.setdefault(n, []).append((shapely.area(common) / pixel, f"{theirs.path.name} ({their_split})", cut))
    for n, pairs in told.items():
        m, split, *_ = placed[n]
        pixels, name, _ = max(pairs)
        cut = all(p[2] for p in pairs)
        what = "labels there are left out of the other split" if cut else "ground that was trained on is scored"
        fix = "" if cut else "cut them apart, or give both rows the same split"
        more = f" and {len(pairs) - 1} more" if len(pairs) > 1 else ""
        size = f"{pixels:,.0f} pixels{_ground(m, pixels)}{more}"
        yield Finding("warning", "split-overlap", m.path, f"overlaps {name} by {size}, and is scored in {split}: {what}", fix)


def _ground(m: Member, pixels: float) -> str:
    """The ground of some pixels as text; empty without georeference."""
    size = metres_per_pixel(m.probe.info.grid)
    return "" if size is None else f" ({pixels * size[0] * size[1]:,.0f} m2)"


def _pixels(m: Member, split: str) -> int:
    boxes = next((r.inside for r in m.regions if r.split == split), None)
    return sum(b.area for b in boxes) if boxes else m.probe.info.grid.height * m.probe.info.grid.width


def _shapes(m: Member, members: Sequence[Member]) -> list[tuple[str, Any, Any]]:
    """(split, ground, ground whose labels count) that each split uses of an image, in the CRS of the first placed one."""
    grid = m.probe.info.grid
    target = next((o.probe.info.grid.crs for o in members if o.probe.info.grid.crs), None)
    if grid.crs is None or target is None:
        return []
    found: list[tuple[str, Any, Any]] = []
    for r in m.regions or (Region(m.split or "trn"),):  # type: ignore[arg-type]
        whole = r.inside is None
        ground = footprint(grid) if whole else shapely.union_all([footprint(grid.window(b)) for b in r.inside or ()])
        labels = shapely.difference(ground, shapely.union_all([footprint(grid.window(b)) for b in r.outside]))
        moved = _moved(ground, grid.crs, target), _moved(labels, grid.crs, target)
        if moved[0] is not None and moved[1] is not None:
            found.append((r.split, *moved))
    return found


def _moved(outline: Any, own: str, target: str) -> Any:
    if own == target:
        return outline
    dense = shapely.segmentize(outline, shapely.length(outline) / 64)
    try:
        moved = shapely.transform(dense, lambda xy: project(xy, own, target))
    except (ProjError, DataError):
        return None
    return shapely.make_valid(moved) if np.isfinite(shapely.bounds(moved)).all() else None
