"""geo-deep-learning's HDF5: `trn_samples.hdf5`, `val_samples.hdf5`, `tst_samples.hdf5` in one directory.

    sat_img          (N, S, S, B)  pixels; uint16 there (read as the bytes that they were, if the metadata say so), here the
                                   type they have: it reads every type as float32
    map_img          (N, S, S)     int16 class ids, background 0; what never counts is negative, or `ignore_index`
    meta_idx         (N, 1)        row of `metadata`; int32 where int16 is too small
    metadata         (M, 1)        repr of a raster's header: crs, transform, dtype, count, nodata
    sample_metadata  (N, 1)        repr of {"sample_indices": (row, column)} in that raster; here also the name
    params           (1, 1)        repr of the config; here with `ignore_index` -1 and the bands

Texts are read as literals, never run. No mask is kept: labels of invalid pixels are ignored anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from swath.core.errors import ConfigError, DataError
from swath.core.grid import Grid
from swath.core.splits import SPLITS, Split
from swath.disk.formats.foreign import (
    Facts,
    ForeignSample,
    ForeignSamples,
    band_names,
    malformed,
    read_card,
)
from swath.disk.formats.literal import parse_literal
from swath.disk.formats.swathstore import scene_place

IGNORE = -1
_BATCH = 16  # samples decoded at a time


def found(path: Path) -> bool:
    """True for a directory with a file of samples."""
    return any(_file(path, split).exists() for split in SPLITS)


def read(path: Path) -> ForeignSamples:
    """The samples of all splits. Raises ConfigError (extra-missing), DataError on wrong shapes and on unsafe texts."""
    h5py = _h5py()
    files = {split: _file(path, split) for split in SPLITS if _file(path, split).exists()}
    if not files:
        raise malformed(path, "holds no trn_samples.hdf5, val_samples.hdf5 or tst_samples.hdf5")
    heads = [_head(h5py, file) for file in files.values()]
    card, _ = read_card(path)
    ignores = {h[2] for h in heads}
    bands, dtype, ignore = heads[0]
    if len({h[:2] for h in heads}) > 1 or len(ignores) > 1:
        raise malformed(path, f"its files differ in bands, type or ignore_index: {heads}")
    narrow, notes = None if card else _stated_type(h5py, list(files.values()), dtype), list[str]()
    if narrow is not None:
        notes.append(f"pixels stored as {dtype} are read as {narrow}, the type of their rasters by the metadata")
    facts = card or Facts(band_names(bands), narrow or dtype, None, ignore)

    def stream() -> Iterator[ForeignSample]:
        for split, file in files.items():
            with _opened(h5py, file) as source:
                yield from _samples(source, file, split, ignore, facts)

    return ForeignSamples(path, facts, stream, tuple(notes))


def fill(samples: ForeignSamples, part: Path) -> None:
    """Writes the files and the card; ids beyond int16 are refused (DataError), all samples must have one size."""
    h5py, facts = _h5py(), samples.facts
    if facts.legend and max(facts.legend.ids) > np.iinfo(np.int16).max:
        raise DataError(
            "format-range", samples.source, f"class id {max(facts.legend.ids)} does not fit into int16", "renumber it"
        )
    part.mkdir()
    with ExitStack() as stack:
        files: dict[Split, _Writer] = {}
        for s in samples:
            if s.split not in files:
                source = stack.enter_context(h5py.File(part / f"{s.split}_samples.hdf5", "w"))
                files[s.split] = _Writer(h5py, source, s, facts)
            files[s.split].add(s)
        for writer in files.values():
            writer.finish()


class _Writer:
    """One file under way; the index of metadata is written at the end, when its size is known."""

    def __init__(self, h5py: Any, source: Any, first: ForeignSample, facts: Facts) -> None:
        bands, height, width = first.image.shape
        self.source, self.facts, self.h5py = source, facts, h5py
        shapes = {"sat_img": (height, width, bands), "map_img": (height, width)}
        for name, shape in shapes.items():
            source.create_dataset(name, (0, *shape), first.image.dtype if name == "sat_img" else np.int16,
                                  maxshape=(None, *shape), chunks=(1, *shape))  # fmt: skip
        self.headers: dict[str, int] = {}
        self.rows: list[int] = []
        self.abouts: list[str] = []

    def add(self, sample: ForeignSample) -> None:
        labels = sample.labels.astype(np.int16)
        if self.facts.ignore is not None:
            labels[sample.labels == self.facts.ignore] = IGNORE
        for name, array in (("sat_img", sample.image.transpose(1, 2, 0)), ("map_img", labels)):
            data = self.source[name]
            if data.shape[1:3] != array.shape[:2]:
                raise DataError("samples-size", sample.name, f"is {array.shape[:2]} pixels, those before are "
                                f"{data.shape[1:3]}: this format holds one size", "choose folders or webdataset")  # fmt: skip
            data.resize(len(self.rows) + 1, axis=0)
            data[-1] = array
        header, row, col = _header(sample, self.facts)
        self.rows.append(self.headers.setdefault(header, len(self.headers)))
        self.abouts.append(repr({"sample_indices": (row, col), "name": sample.name}))

    def finish(self) -> None:
        """Writes the index and the texts."""
        kind = np.int16 if len(self.headers) <= np.iinfo(np.int16).max else np.int32
        self.source["meta_idx"] = np.array(self.rows, kind)[:, None]
        params = {"training": {"ignore_index": IGNORE}, "dataset": {"bands": list(self.facts.bands)}}
        texts = {"metadata": list(self.headers), "sample_metadata": self.abouts, "params": [repr(params)]}
        for name, rows in texts.items():
            self.source.create_dataset(name, data=[[r] for r in rows], dtype=self.h5py.string_dtype())


def _header(sample: ForeignSample, facts: Facts) -> tuple[str, int, int]:
    """(repr of the raster's header, row and column in it)."""
    _, grid, window = scene_place(sample)
    place = {"crs": grid.crs, "transform": tuple(grid.transform)[:6]} if grid else {"crs": None, "transform": None}
    return repr({"driver": "GTiff", "dtype": facts.dtype, "count": len(facts.bands), **place}), window.row, window.col


def _samples(source: Any, file: Path, split: Split, ignore: int, facts: Facts) -> Iterator[ForeignSample]:
    grids = [_grid(parse(text, file), file) for text in _texts(source, "metadata", file)]
    abouts = [parse(text, file) for text in _texts(source, "sample_metadata", file)]
    total, kept = source["sat_img"].shape[0], facts.legend
    rows = np.asarray(source["meta_idx"][()]).reshape(-1) if "meta_idx" in source else np.zeros(0, int)
    for start in range(0, total, _BATCH):
        images, labels = source["sat_img"][start : start + _BATCH], source["map_img"][start : start + _BATCH]
        for i, (image, ids) in enumerate(zip(images, labels, strict=True), start):
            about = abouts[i] if i < len(abouts) and isinstance(abouts[i], dict) else {}
            grid = grids[rows[i]] if i < len(rows) and 0 <= rows[i] < len(grids) else None
            never = (ids < 0) | (ids == ignore)
            if kept is not None:
                ids = np.where(never, kept.nodata, ids).astype(kept.map_dtype)
            else:
                ids[never] = ignore
            yield ForeignSample(str(about.get("name", f"{split}_{i:06d}")), split,
                                np.ascontiguousarray(image.transpose(2, 0, 1), facts.dtype), ids, None,
                                _cut(grid, about, ids.shape, file))  # fmt: skip


def _cut(grid: Grid | None, about: dict[str, Any], shape: tuple[int, int], file: Path) -> Grid | None:
    """The sample's own grid: the raster's, moved to the sample's first pixel."""
    place = about.get("sample_indices")
    if grid is None or place is None:
        return None
    try:
        row, col = (int(n) for n in place)
    except (TypeError, ValueError) as e:
        raise malformed(file, f"sample_indices {place!r} are no row and column") from e
    return Grid(grid.crs, grid.transform @ Affine.translation(col, row), *shape)


def _grid(header: Any, file: Path) -> Grid | None:
    """The grid of a raster's header, as geo-deep-learning's `repr` or as ours."""
    if not isinstance(header, dict) or not header.get("transform"):
        return None
    crs, transform = header.get("crs"), header["transform"]
    crs = crs["crs"] if isinstance(crs, dict) and "crs" in crs else crs
    transform = transform["affine"] if isinstance(transform, dict) else transform
    try:
        place = Affine(*[float(n) for n in transform[:6]])
        if crs is None:
            return Grid(None, place, 1, 1)
        from pyproj import CRS
        from pyproj.exceptions import CRSError

        try:
            return Grid(crs if isinstance(crs, str) and "[" in crs else CRS.from_user_input(crs).to_wkt(), place, 1, 1)
        except CRSError as e:
            raise malformed(file, f"its CRS {str(crs)[:60]!r} is unknown") from e
    except (TypeError, ValueError, KeyError) as e:
        raise malformed(file, f"its metadata hold no transform ({e})") from e


def parse(text: str, file: Path) -> Any:
    """The value of a text in the file. Raises DataError where it is anything but literals."""
    try:
        return parse_literal(text)
    except ValueError as e:
        raise DataError("format-unsafe", file, f"a text in it holds {e}", "it is not run; remove that text") from e


def old_config(path: Path) -> dict[str, Any]:
    """The config that the first file of a directory keeps in `params`; empty where it keeps none. Raises DataError."""
    h5py = _h5py()
    file = next(f for split in SPLITS if (f := _file(path, split)).exists())
    with _opened(h5py, file) as source:
        values = [parse(text, file) for text in _texts(source, "params", file)]
    return next((v for v in values if isinstance(v, dict)), {})


def _head(h5py: Any, file: Path) -> tuple[int, str, int]:
    """(bands, dtype, ignore index) of a file whose shapes fit together. Raises DataError."""
    with _opened(h5py, file) as source:
        missing = [n for n in ("sat_img", "map_img") if n not in source or not isinstance(source[n], h5py.Dataset)]
        if missing:
            raise malformed(file, f"has no {' and no '.join(missing)}")
        image, labels = source["sat_img"], source["map_img"]
        if image.ndim != 4 or labels.shape != image.shape[:3] or labels.dtype.kind not in "iu":
            raise malformed(file, f"sat_img {image.shape} and map_img {labels.shape} of {labels.dtype} do not fit")
        for name in ("metadata", "sample_metadata"):
            for text in _texts(source, name, file):
                parse(text, file)
        params = [parse(text, file) for text in _texts(source, "params", file)]
        return image.shape[3], image.dtype.name, _ignore(params)


def _stated_type(h5py: Any, files: list[Path], stored: str) -> str | None:
    """The smaller type that all rasters had before geo-deep-learning stored their pixels, if all pixels fit into it.

    It scaled pixels by that type: 8 bits in 16 nearly vanish when they are scaled by the type that holds them.
    """
    stated: set[str] = set()
    largest = 0
    for file in files:
        with _opened(h5py, file) as source:
            headers = [parse(text, file) for text in _texts(source, "metadata", file)]
            stated |= {str(h.get("dtype")) if isinstance(h, dict) else "" for h in headers}
            if stated != {"uint8"} or stored not in ("uint16", "int16"):
                return None
            data = source["sat_img"]
            for start in range(0, len(data), _BATCH):
                part = data[start : start + _BATCH]
                largest = max(largest, int(part.max(initial=0)), 256 if part.min(initial=0) < 0 else 0)
    return "uint8" if largest < 256 else None


def _ignore(value: Any) -> int:
    """The `ignore_index` anywhere in the config, else -1."""
    if isinstance(value, dict):
        if isinstance(value.get("ignore_index"), int) and not isinstance(value["ignore_index"], bool):
            return int(value["ignore_index"])
        value = list(value.values())
    found = [_ignore(v) for v in value if isinstance(v, dict | list)] if isinstance(value, list) else []
    return next((f for f in found if f != IGNORE), IGNORE)


def _texts(source: Any, name: str, file: Path) -> list[str]:
    if name not in source:
        return []
    try:
        return [str(t) for t in source[name].asstr()[()].reshape(-1)]
    except (TypeError, UnicodeDecodeError, AttributeError) as e:
        raise malformed(file, f"`{name}` holds no texts ({e})") from e


class _opened:
    """An open HDF5 file; failures to read it become a DataError that names it."""

    def __init__(self, h5py: Any, file: Path) -> None:
        self.file = file
        try:
            self.source = h5py.File(file, "r")
        except OSError as e:
            raise malformed(file, f"cannot be read as HDF5 ({e})") from e

    def __enter__(self) -> Any:
        return self.source

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.source.close()
        if isinstance(error, OSError | RuntimeError | KeyError):
            raise malformed(self.file, f"cannot be read as HDF5 ({error})") from error


def _file(path: Path, split: Split) -> Path:
    return path / f"{split}_samples.hdf5"


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as e:
        raise ConfigError("extra-missing", "convert", f"HDF5 files need h5py ({e})", "pip install 'swath[hdf5]'") from e
    return h5py
