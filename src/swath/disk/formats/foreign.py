"""Samples on their way between Swath's store and a foreign layout: named arrays, streamed, with the facts about them."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.bands import valid_pixels
from swath.core.errors import ConfigError, DataError, SwathError
from swath.core.grid import Grid
from swath.core.legend import ClassEntry, Legend, palette
from swath.core.splits import Split
from swath.disk.publish import card_fault, publish_card

CARD = "swath.json"  # beside every layout that Swath writes; other readers pass it over
_DTYPE = re.compile(r"^[<>|=]?[buif][1248]$")
_WIDER = {"float16": "float32", "bool": "uint8"}
_SUM = (1 << 64) - 1
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, eq=False)
class ForeignSample:
    """One sample: raw `image` (C, H, W), class ids `labels` (H, W) of an integer type, `valid` (H, W) bool, `grid`.

    `valid` None stands for: every finite pixel. `grid` None: no georeference. A `name` that ends in `_i{row}_j{column}`
    says where in its scene the sample lies. `label` is the class id of the patch as a whole, None where it has none.
    """

    name: str
    split: Split
    image: NDArray[Any]
    labels: NDArray[Any]
    valid: NDArray[np.bool_] | None = None
    grid: Grid | None = None
    label: int | None = None

    @property
    def mask(self) -> NDArray[np.bool_]:
        """True (H, W) where the pixels count."""
        return finite(self.image) if self.valid is None else self.valid


@dataclass(frozen=True)
class Facts:
    """What holds for all samples: band names, dtype of the image, class table and the label value that never counts."""

    bands: tuple[str, ...]
    dtype: str
    legend: Legend | None = None
    ignore: int | None = None


@dataclass(frozen=True)
class Sum:
    """How many samples there are, and a checksum of their splits, pixels and labels in any order; with `masks` of the masks."""

    count: int = 0
    total: int = 0
    masks: bool = False

    def plus(self, sample: ForeignSample, ignore: int | None) -> Sum:
        """With one sample more."""
        print_ = fingerprint(sample, ignore)
        if self.masks:
            print_ = zlib.crc32(np.packbits(sample.mask).tobytes(), print_)
        return Sum(self.count + 1, self.total + zlib.crc32(sample.split.encode(), print_) & _SUM, self.masks)


@dataclass(frozen=True)
class ForeignSamples:
    """Samples that are read anew each time they are iterated over, one at a time; `notes` say what a reader assumed, `told`
    is what Swath wrote beside them.
    """

    source: Path
    facts: Facts
    stream: Callable[[], Iterator[ForeignSample]]
    notes: tuple[str, ...] = ()
    told: Sum | None = None

    def __iter__(self) -> Iterator[ForeignSample]:
        """The samples, each checked against the facts, in the end all against what is told of them.

        Raises DataError naming source and sample, where some lack, and where they are not those that were written.
        """
        seen = Sum(masks=self.told is not None and self.told.masks)
        for sample in self.stream():
            fault = _fault(sample, self.facts)
            if fault:
                raise malformed(self.source, f"sample {sample.name}: {fault}")
            if not (sample.image.dtype.isnative and sample.labels.dtype.isnative):
                sample = replace(sample, image=_native(sample.image), labels=_native(sample.labels))
            if self.told is not None:
                seen = seen.plus(sample, self.facts.ignore)
            yield sample
        if self.told is not None and seen.count != self.told.count:
            raise malformed(self.source, f"holds {seen.count} samples, its card tells of {self.told.count}")
        if self.told is not None and seen != self.told:
            raise malformed(self.source, "holds other pixels, labels or splits than were written: their checksum differs",
                            f"put back what was written, or remove {CARD} if they were changed on purpose")  # fmt: skip


def _native(array: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in this machine's order of bytes."""
    return array.astype(array.dtype.newbyteorder("="))


def malformed(where: object, message: str, fix: str = "replace it with a whole copy, or correct it") -> DataError:
    """The error for input that does not follow its format."""
    return DataError("format-malformed", where, message, fix)


def finite(image: NDArray[Any]) -> NDArray[np.bool_]:
    """True (H, W) where every band of `image` (C, H, W) is finite."""
    return valid_pixels(image, "none", None)


def band_names(count: int) -> tuple[str, ...]:
    """`b1`, `b2`, ...: the names of bands that have none."""
    return tuple(f"b{i}" for i in range(1, count + 1))


def first_facts(path: Path, stream: Callable[[], Iterator[ForeignSample]]) -> Facts:
    """The facts that the first sample shows, for a layout without a card. Raises DataError where there is none."""
    with closing(stream()) as samples:  # type: ignore[type-var]
        first = next(samples, None)
    if first is None:
        raise malformed(path, "holds no sample")
    return Facts(band_names(len(first.image)), first.image.dtype.name)


def read_dtype(text: str, where: object) -> np.dtype[Any]:
    """The number type of a text from a file, such as `<u2`. Raises DataError for anything but plain numbers."""
    if not _DTYPE.match(text):
        raise malformed(where, f"'{text[:40]}' is no type of numbers")
    return np.dtype(text)


def safe_stem(name: str) -> str:
    """The name as a file's stem: itself where it can be one, else with `_` for other signs; long ones end in a hash."""
    stem = _UNSAFE.sub("_", name).lstrip(".") or "_"
    return stem if len(stem) <= 180 else f"{stem[:160]}_{hashlib.sha256(name.encode()).hexdigest()[:16]}"


class Stems:
    """File stems that are unique, case aside."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()
        self._next: dict[tuple[str, str], int] = {}

    def of(self, sample: ForeignSample, within: str | None = None, *, dots: bool = True) -> str:
        """A stem for the sample that no earlier one has within its split (or within `within`); without `dots` none is in it."""
        stem, group = safe_stem(sample.name), sample.split if within is None else within
        stem = stem if dots else stem.replace(".", "_")
        found, n = stem, self._next.get((group, stem.lower()), 2)
        while (group, found.lower()) in self._seen:
            found, n = f"{stem}_{n}", n + 1
        self._seen.add((group, found.lower()))
        self._next[group, stem.lower()] = n
        return found


def fingerprint(sample: ForeignSample, ignore: int | None) -> int:
    """A checksum of pixels and labels, the same whatever types the labels and their ignore value have."""
    labels = sample.labels.astype(np.int64)
    if ignore is not None:
        labels[sample.labels == ignore] = -1
    image = np.ascontiguousarray(sample.image)
    return zlib.crc32(labels.tobytes(), zlib.crc32(image.tobytes()))


def write_card(part: Path, facts: Facts, **more: Any) -> None:
    """Writes bands, class table and ignore value beside a foreign layout."""
    legend = facts.legend.as_dict() if facts.legend else None
    value = {"swath": "samples", "bands": list(facts.bands), "dtype": facts.dtype, "ignore": facts.ignore,
             "legend": legend, **more}  # fmt: skip
    publish_card(part / CARD, value)


def read_card(root: Path) -> tuple[Facts | None, dict[str, Any]]:
    """The facts that Swath wrote beside a layout, and the whole card; (None, {}) for a layout by others. Raises DataError
    where the card was changed.
    """
    file = root / CARD
    if not file.exists():
        return None, {}
    value = read_json(file)
    fault = card_fault(file) if "sum" in value or "sha256" in value else None  # the first cards had no seal
    if fault:
        raise malformed(file, fault, "put back the card as it was, or remove it: the legend then comes with --classes")
    try:
        legend = Legend.from_dict(value["legend"]) if value["legend"] else None
        ignore = None if value["ignore"] is None else int(value["ignore"])
        return Facts(tuple(map(str, value["bands"])), str(value["dtype"]), legend, ignore), value
    except (KeyError, TypeError, AttributeError, SwathError) as e:
        raise malformed(file, f"is no card of samples ({e!r})") from e


def told_sum(value: dict[str, Any]) -> Sum | None:
    """What a card tells of its samples; None where it tells nothing."""
    count, total = value.get("count"), value.get("sum")
    if not isinstance(count, int) or not isinstance(total, dict):
        return None
    return Sum(count, int(str(total.get("crc")), 16), bool(total.get("masks")))


def read_json(file: Path) -> dict[str, Any]:
    """A JSON file's object. Raises DataError."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise malformed(file, f"cannot be read as JSON ({e})") from e
    if not isinstance(value, dict):
        raise malformed(file, "holds no JSON object")
    return value


def grid_of(value: Any, where: object) -> Grid | None:
    """The grid of a JSON value. Raises DataError."""
    if value is None:
        return None
    try:
        return Grid.from_dict(value)
    except (KeyError, TypeError, ValueError) as e:
        raise malformed(where, f"holds no grid ({e!r})") from e


def widened(samples: ForeignSamples) -> ForeignSamples:
    """The same samples, their pixels in the type that holds all of their values where maps know none like theirs."""
    wide = _WIDER.get(samples.facts.dtype)
    if wide is None:
        return samples

    def stream() -> Iterator[ForeignSample]:
        for s in samples:
            yield replace(s, image=s.image.astype(wide))

    note = f"{samples.facts.dtype} pixels are held as {wide}, which changes no value"
    return replace(samples, facts=replace(samples.facts, dtype=wide), stream=stream, notes=(*samples.notes, note), told=None)


def with_legend(samples: ForeignSamples, legend: Legend | None = None) -> ForeignSamples:
    """The same samples with a class table; their labels are its ids, and its nodata value where none counts.

    Without `legend` it is the one that the source states, else a class for every value found (one pass over them).
    Raises DataError (class-unknown) listing the label values that no class stands for.
    """
    facts = samples.facts
    if legend is None and facts.legend is not None and facts.ignore == facts.legend.nodata:
        return samples
    table = legend or facts.legend or found_legend(samples)

    def stream() -> Iterator[ForeignSample]:
        for s in samples:
            indices = np.full(s.labels.shape, table.ignore, table.index_dtype)
            counts = np.ones(s.labels.shape, bool) if facts.ignore is None else s.labels != facts.ignore
            indices[counts] = table.from_values(s.labels[counts], f"{samples.source} sample {s.name}")
            yield replace(s, labels=table.to_ids(indices), label=_label_id(s, table, facts.ignore))

    return replace(samples, facts=replace(facts, legend=table, ignore=table.nodata), stream=stream, told=None)


def _label_id(sample: ForeignSample, table: Legend, ignore: int | None) -> int | None:
    """The class id of a patch's own label; None where it has none, or one that never counts."""
    if sample.label is None or sample.label == ignore:
        return None
    index = int(table.from_values(np.array([sample.label]), sample.name)[0])
    return None if index == table.ignore else table.ids[index]


def whole_patches(samples: ForeignSamples) -> ForeignSamples:
    """The same samples: where each has a label, it stands for all pixels of its patch; where some lack one, none has."""
    every = all(s.label is not None for s in samples)

    def stream() -> Iterator[ForeignSample]:
        for s in samples:
            yield replace(s, labels=np.full_like(s.labels, s.label)) if every else replace(s, label=None)

    return replace(samples, stream=stream, told=None)


def found_legend(samples: ForeignSamples) -> Legend:
    """A class for every label value found; 0 is the background."""
    found: set[int] = set()
    for s in samples:
        found |= set(np.unique(s.labels).tolist())
    ids = sorted((found | {0}) - {samples.facts.ignore})
    if ids[0] < 0 or ids[-1] > 65534 or len(ids) < 2:
        raise ConfigError("classes-unclear", samples.source, f"the label values {ids[:8]} make no class table",
                          "say what they mean by the `classes` of a config: --classes CONFIG")  # fmt: skip
    colours = palette(len(ids))
    return Legend(tuple(
        ClassEntry(i, f"class {i}" if i else "background", colours[n] if i else "#000000") for n, i in enumerate(ids)
    ))  # fmt: skip


def _fault(sample: ForeignSample, facts: Facts) -> str | None:
    image, labels = sample.image, sample.labels
    if image.ndim != 3 or len(image) != len(facts.bands):
        return f"image of shape {image.shape}, not {len(facts.bands)} bands"
    if image.dtype.name != facts.dtype:
        return f"pixels are {image.dtype.name}, those before are {facts.dtype}"
    if labels.shape != image.shape[1:]:
        return f"labels of shape {labels.shape}, image of {image.shape[1:]}"
    if labels.dtype.kind not in "iu":
        return f"labels are {labels.dtype.name}, no whole numbers"
    if sample.valid is not None and sample.valid.shape != labels.shape:
        return f"mask of shape {sample.valid.shape}, image of {labels.shape}"
    return "an empty image" if not labels.size else None
