"""The result of `swath summarize` is what rasters hold: statistics per band and per class, areas, histograms."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import ConfigError, DataError
from swath.core.events import Events
from swath.core.legend import Legend
from swath.core.tallies import Counted, Tally, histogram_edges, tally
from swath.core.windows import Window, grid_windows
from swath.disk.charts import publish_histogram, require_matplotlib
from swath.disk.publish import make_directory, publish_json, sweep
from swath.disk.rasters.crs import crs_name, metres_per_pixel
from swath.disk.rasters.maps import read_map_info
from swath.disk.rasters.raster import SUFFIXES
from swath.disk.rasters.surfaces import grid_area_m2, pixel_areas_m2, polygon_areas_m2
from swath.disk.scenes.burn import burnt_polygons, label_files, label_scenes, open_burnt
from swath.disk.scenes.labels import Labels
from swath.disk.scenes.manifest import Scene, expand_inputs
from swath.disk.sources.images import image_reader
from swath.disk.stores.sample import class_counts
from swath.messages import warn
from swath.progress import Progress
from swath.specs import LabelsSpec

_WINDOW = 512
Cell = tuple[int, int]  # band position, class index; class -1: all pixels


def summarize(
    images: Sequence[str | Path] | str | Path,
    *,
    out: str | Path | None = None,
    labels: Sequence[str | Path] | str | Path | None = None,
    legend: Legend | None = None,
    labels_spec: LabelsSpec | None = None,
    bins: int = 256,
) -> dict[str, Any]:
    """The summaries of rasters: `images` [{path, gsd_m, area_km2, bands, classes, ignored, events, files}], `seconds`.

    A band: `min`, `max`, `mean`, `std`, `percentiles`, `exact` (of the percentiles: exact for integers of 16 bits and
    for up to 200 000 values), `pixels`, `nodata_share`, `histogram` {low, high, counts} over the range of the data.
    With `labels` (a raster, vectors, or None for those of a manifest) and `legend` (default: the one inside a map) a
    class has `pixels`, `share` of the labelled, `area_m2`, `polygons`, `polygon_area_m2` (whole, also beyond the image)
    and its own `bands`. Areas are on the ellipsoid, None without georeference. Pixels are streamed.

    With `out`, a directory: the same as JSON, and histograms as PNG per band, and per band by class. All good images are
    done before the bad ones are told: DataError.
    """
    started = time.monotonic()
    if bins < 1:
        raise ConfigError("bins", "bins", "fewer than one bin", "give a number such as 256")
    if out is not None:
        require_matplotlib()
    files = label_files(labels)
    legend = legend or (read_map_info(files[0]).legend if len(files) == 1 and _is_raster(files[0]) else None)
    if files and legend is None:
        raise ConfigError("classes-missing", "classes", "labels without a class table", "name the classes")
    listed = [images] if isinstance(images, str | Path) else list(images)
    scenes = label_scenes(listed, files) if legend else [Scene(p.stem, p) for p in expand_inputs(listed, SUFFIXES)]
    folder = None if out is None else _folder(Path(out), scenes)
    found, failures = [], []
    for scene in scenes:
        try:
            work = _Work(scene, files, legend, labels_spec or LabelsSpec(), bins, alone=len(scenes) == 1)
            summary = work.summary()
        except DataError as e:
            failures.append(e)
            if len(scenes) > 1:
                warn(f"{scene.image}: {e.line()}")
            continue
        if folder is not None:
            summary["files"] = _publish(summary, folder / scene.image.stem, legend)
        found.append(summary)
    if failures:
        first, more = failures[0], f" ({len(failures)} of {len(scenes)} images failed)" if len(scenes) > 1 else ""
        raise DataError(first.code, first.where, f"{first.message}{more}", first.fix)
    return {"images": found, "seconds": round(time.monotonic() - started, 3)}


def _is_raster(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _folder(out: Path, scenes: Sequence[Scene]) -> Path:
    stems = [s.image.stem for s in scenes]
    twice = next((s for s in scenes if stems.count(s.image.stem) > 1), None)
    if twice is not None:
        raise DataError("summary-names", twice.image, "another image has the same name", "summarize them apart")
    sweep(make_directory(out))
    return out.absolute()


@dataclass
class _Piece:
    """A window: raw bands (C, h, w), where each is valid (C, h, w), class indices (h, w) or None."""

    window: Window
    raw: NDArray[Any]
    good: NDArray[np.bool_]
    indices: NDArray[Any] | None

    def values(self, cell: Cell) -> NDArray[Any]:
        """The valid values (n,) of a band, of one class or of all pixels."""
        band, index = cell
        pick = self.good[band]
        return self.raw[band][pick if index < 0 or self.indices is None else pick & (self.indices == index)]


class _Work:
    """One raster on its way to a summary."""

    def __init__(
        self, scene: Scene, files: Sequence[Path], legend: Legend | None, spec: LabelsSpec, bins: int, *, alone: bool
    ) -> None:
        self.reader, self.legend, self.bins, self.events = image_reader(scene.image), legend, bins, Events()
        self.grid, self.bands = self.reader.grid, range(len(self.reader.indexes))
        self.labels: Labels | None = None
        if legend is not None:
            self.labels = open_burnt(scene, files, self.grid, legend, spec, self.events, alone=alone)
        self.dtypes = [self.reader.info.dtypes[i - 1] for i in self.reader.indexes]
        classes = [-1, *range(len(legend))] if legend else [-1]
        self.tallies: dict[Cell, Tally] = {(b, k): tally(self.dtypes[b]) for b in self.bands for k in classes}
        self.counts = np.zeros(len(legend) if legend else 0, np.int64)
        self.areas: NDArray[np.float64] | None = np.zeros(len(self.counts))

    def summary(self) -> dict[str, Any]:
        """The summary, by one pass over the pixels, or two where histograms need the range first."""
        for piece in self._pieces("summarize"):
            for cell, found in self.tallies.items():
                found.add(piece.values(cell))
            self._count(piece)
        histograms = self._histograms()
        area = grid_area_m2(self.grid)
        metres = metres_per_pixel(self.grid)
        return {
            "path": str(self.reader.path.absolute()),
            "width": self.grid.width,
            "height": self.grid.height,
            "crs": crs_name(self.grid.crs),
            "gsd_m": None if metres is None else list(metres),
            "area_km2": None if area is None else area / 1e6,
            "bands": [self._band((b, -1), histograms) for b in self.bands],
            "classes": self._classes(histograms),
            "ignored": self.grid.height * self.grid.width - int(self.counts.sum()) if self.legend else None,
            "events": self.events.as_dict(),
        }

    def _pieces(self, title: str) -> Iterator[_Piece]:
        with Progress(f"{title} {self.reader.path.name}", self.grid.height * self.grid.width, "pixels") as bar:
            for window in grid_windows(*self.grid.shape, _WINDOW, _WINDOW, "keep"):
                raw, valid = self.reader.read(window)
                finite = np.isfinite(raw) if raw.dtype.kind == "f" else np.ones(raw.shape, bool)
                good = (valid | ~finite.all(0)) & finite  # a band that is not finite says nothing of the others
                for band, nodata in enumerate(self.reader.nodata):
                    if nodata is not None:
                        good[band] &= raw[band] != nodata
                yield _Piece(window, raw, good, None if self.labels is None else self.labels.read(window))
                bar.advance(window.area)

    def _count(self, piece: _Piece) -> None:
        if self.legend is None or piece.indices is None:
            return
        self.counts += class_counts(piece.indices, self.legend)
        sizes = pixel_areas_m2(self.grid, piece.window)
        if sizes is None or self.areas is None:
            self.areas = None
            return
        for k in range(len(self.legend)):
            self.areas[k] += ((piece.indices == k).sum(1) * sizes).sum()

    def _histograms(self) -> dict[Cell, tuple[NDArray[np.float64], NDArray[np.int64]]]:
        """(edges, counts) of every cell; all cells of a band share its range."""
        edges = {}
        for band in self.bands:
            whole = self.tallies[band, -1]
            if whole.count:
                numbers = whole.numbers()
                edges[band] = histogram_edges(numbers["min"], numbers["max"], self.bins, self.dtypes[band])
        found: dict[Cell, tuple[NDArray[np.float64], NDArray[np.int64]]] = {}
        open_cells = []
        for cell, seen in self.tallies.items():
            if cell[0] in edges:
                own = edges[cell[0]]
                found[cell] = own, seen.histogram(own) if isinstance(seen, Counted) else np.zeros(len(own) - 1, np.int64)
                open_cells += [] if isinstance(seen, Counted) else [cell]
        for piece in self._pieces("histograms of") if open_cells else ():
            for cell in open_cells:
                found[cell][1][:] += np.histogram(piece.values(cell), edges[cell[0]])[0]
        return found

    def _band(self, cell: Cell, histograms: dict[Cell, tuple[NDArray[Any], NDArray[Any]]]) -> dict[str, Any]:
        found, band = self.tallies[cell], cell[0]
        index = self.reader.indexes[band]
        total = self.grid.height * self.grid.width if cell[1] < 0 else int(self.counts[cell[1]])
        empty: dict[str, Any] = {"min": None, "max": None, "mean": None, "std": None, "percentiles": None}
        shown = {"band": index, "name": self.reader.info.names[index - 1], "dtype": self.dtypes[band],
                 "pixels": found.count, "nodata_share": 1 - found.count / total if total else None,
                 **(found.numbers() if found.count else empty), "exact": found.exact, "histogram": None}  # fmt: skip
        if cell in histograms:
            edges, counts = histograms[cell]
            shown["histogram"] = {"low": float(edges[0]), "high": float(edges[-1]), "counts": counts.tolist()}
        return shown

    def _classes(self, histograms: dict[Cell, tuple[NDArray[Any], NDArray[Any]]]) -> dict[str, Any] | None:
        if self.legend is None or self.labels is None:
            return None
        polygons = burnt_polygons(self.labels)
        total = int(self.counts.sum())
        sizes = [polygon_areas_m2(v.geometry, self.grid) for v in polygons]
        shown: dict[str, Any] = {}
        for k, name in enumerate(self.legend.names):
            mine = [(v.indices == k, s) for v, s in zip(polygons, sizes, strict=True)]
            known = all(s is not None for _, s in mine) and bool(mine)
            shown[name] = {
                "pixels": int(self.counts[k]),
                "share": int(self.counts[k]) / total if total else None,
                "area_m2": None if self.areas is None or not np.isfinite(self.areas[k]) else float(self.areas[k]),
                "polygons": sum(int(own.sum()) for own, _ in mine) if mine else None,
                "polygon_area_m2": float(sum(s[own].sum() for own, s in mine if s is not None)) if known else None,
                "bands": [self._band((b, k), histograms) for b in self.bands],
            }
        return shown


def _publish(summary: dict[str, Any], stem: Path, legend: Legend | None) -> dict[str, Any]:
    """The paths of the published files, whose names begin with `stem`."""
    pictures = []
    for position, band in enumerate(summary["bands"]):
        if band["histogram"] is None:
            continue
        title = f"{Path(summary['path']).name}: {band['name']}"
        plain = stem.with_name(f"{stem.name}_b{band['band']}.png")
        pictures.append(publish_histogram(plain, title, [("all pixels", "#444444", band["histogram"])]))
        if legend is not None and summary["classes"]:
            lines = [(c.name, c.color, summary["classes"][c.name]["bands"][position]["histogram"]) for c in legend.classes]
            by_class = stem.with_name(f"{stem.name}_b{band['band']}_classes.png")
            pictures.append(publish_histogram(by_class, f"{title}, share of each class", lines, shares=True))
    told = publish_json(stem.with_name(f"{stem.name}_summary.json"), summary)
    return {"json": str(told), "pictures": [str(p) for p in pictures]}
