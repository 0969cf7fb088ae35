"""What the classes are: ids, names, colours and the values that stand for them in labels."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import ConfigError, DataError, did_you_mean

Source = int | str
_THRESHOLD = re.compile(r"^(<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)$")
_INTEGER = re.compile(r"^-?[0-9]+$")
_COLOUR = re.compile(r"^#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})$")


@dataclass(frozen=True)
class ClassEntry:
    """One class: its `id` in maps (0 to 65534), `name`, `color` (#rrggbb) and the label values that stand for it.

    `source` holds integers, texts, colours (`#00ff00`) or grey thresholds (`>127`); empty: the id and the name.
    """

    id: int
    name: str
    color: str
    source: tuple[Source, ...] = ()

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as 0..255 integers."""
        return parse_colour(self.color)


@dataclass(frozen=True)
class Legend:
    """The class table. Arrays of labels hold class *indices* 0..C-1 in table order, and `ignore` where none counts.

    `unlabelled` says what pixels without a label are: the background class, or ignored. `ignored` lists label values
    that never count. Ids are preserved in maps, whatever they are.
    """

    classes: tuple[ClassEntry, ...]
    unlabelled: Literal["background", "ignore"] = "background"
    ignored: tuple[Source, ...] = ()
    field: str | None = None

    def __post_init__(self) -> None:
        _unique([c.id for c in self.classes], "id")
        _unique([c.name for c in self.classes], "name")
        _unique([s for c in self.classes for s in c.source], "source value")
        if len(self.classes) < 2:
            raise ConfigError("classes-few", "classes", "fewer than two classes", "name at least one class beside 0")
        for c in self.classes:
            if not 0 <= c.id <= 65534:
                raise ConfigError("class-id", f"classes.{c.id}", "a class id lies outside 0..65534", "use a smaller id")

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def ids(self) -> tuple[int, ...]:
        """Class ids in table order."""
        return tuple(c.id for c in self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in table order."""
        return tuple(c.name for c in self.classes)

    @property
    def background(self) -> int | None:
        """The index of class id 0, if there is one."""
        return self.ids.index(0) if 0 in self.ids else None

    @property
    def ignore(self) -> int:
        """The index that marks pixels which never count: 255, or 65535 with more than 254 classes."""
        return 255 if len(self) < 255 else 65535

    @property
    def index_dtype(self) -> type[np.unsignedinteger]:
        """The dtype of arrays of class indices."""
        return np.uint8 if self.ignore == 255 else np.uint16

    @property
    def fill(self) -> int:
        """The index of a pixel without a label: background or ignore."""
        if self.unlabelled == "background" and self.background is not None:
            return self.background
        return self.ignore

    @property
    def nodata(self) -> int:
        """The map value that is no class: 255 where free, else the largest free value of the map's dtype."""
        top = 255 if max(self.ids) < 256 and len(self) < 256 else 65535
        return next(v for v in range(top, -1, -1) if v not in self.ids)

    @property
    def map_dtype(self) -> type[np.unsignedinteger]:
        """The dtype of maps: uint8 where ids and nodata fit, else uint16."""
        return np.uint8 if max(*self.ids, self.nodata) < 256 else np.uint16

    def to_ids(self, indices: NDArray[Any]) -> NDArray[Any]:
        """Map values (ids, nodata where `ignore`) of an array of class indices."""
        table = np.full(self.ignore + 1, self.nodata, self.map_dtype)
        table[: len(self)] = self.ids
        return table[indices]

    def index(self, name: str) -> int:
        """The index of a class name; ConfigError with the closest name where there is none."""
        if name not in self.names:
            raise ConfigError("class-unknown", name, f"no class is named '{name}'", did_you_mean(name, self.names))
        return self.names.index(name)

    def match(self, value: Any) -> int | None:
        """The class index of one label value (number or text), `ignore` for an ignored value, None if unknown."""
        value = value if isinstance(value, str | int | float | np.number) else str(value)  # dates, lists
        keys = _keys(value)
        if any(k in self.ignored for k in keys):
            return self.ignore
        for i, entry in enumerate(self.classes):
            if any(k in (entry.source or (entry.id, str(entry.id), entry.name)) for k in keys):
                return i
        return self._threshold(value)

    def _threshold(self, value: Any) -> int | None:
        if isinstance(value, str):
            return None
        for i, entry in enumerate(self.classes):
            if any(isinstance(s, str) and _within(s, float(value)) for s in entry.source):
                return i
        return None

    @property
    def thresholds(self) -> bool:
        """True where a class is given by a grey threshold; then every other value is the fill."""
        return any(isinstance(s, str) and _THRESHOLD.match(s) for c in self.classes for s in c.source)

    @property
    def colours(self) -> dict[tuple[int, int, int], int]:
        """Class index by RGB colour, for colour-coded masks; empty where no class has a colour as source."""
        found = {}
        for i, entry in enumerate(self.classes):
            for s in entry.source:
                if isinstance(s, str) and _COLOUR.match(s):
                    found[parse_colour(s)] = i
        return found

    def from_values(self, values: NDArray[Any], where: object = "labels") -> NDArray[Any]:
        """Class indices of a label raster's values, same shape.

        Raises DataError listing values that no class stands for.
        """
        present = distinct(values)
        found = {value: self._raster_index(value) for value in present.tolist()}
        unknown = [value for value, index in found.items() if index is None]
        if unknown:
            raise unknown_values(unknown, where, self)
        indices = np.array([found[v] for v in present.tolist()], self.index_dtype)
        if values.dtype.kind in "iu" and values.dtype.itemsize <= 2 and len(present):
            low = int(present[0])
            table = np.zeros(int(present[-1]) - low + 1, self.index_dtype)
            table[present.astype(np.int64) - low] = indices
            return table[values.astype(np.int32) - low]
        return indices[np.searchsorted(present, values)] if len(present) else np.zeros(values.shape, self.index_dtype)

    def _raster_index(self, value: Any) -> int | None:
        index = self.match(value)
        return self.fill if index is None and self.thresholds else index

    def as_dict(self) -> dict[str, Any]:
        """The legend as plain JSON values."""
        return {
            "classes": [{"id": c.id, "name": c.name, "color": c.color, "source": list(c.source)} for c in self.classes],
            "unlabelled": self.unlabelled,
            "ignored": list(self.ignored),
            "field": self.field,
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Legend:
        """The inverse of `as_dict`."""
        entries = tuple(ClassEntry(c["id"], c["name"], c["color"], tuple(c["source"])) for c in value["classes"])
        return cls(entries, value["unlabelled"], tuple(value["ignored"]), value["field"])


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """The sorted distinct values of an array; of small integers by counting, which is many times faster than sorting."""
    if values.dtype.kind not in "iu" or values.dtype.itemsize > 2 or values.size == 0:
        return np.unique(values)
    low = int(values.min())
    counts = np.bincount(values.ravel().astype(np.int64) - low)
    return (np.flatnonzero(counts) + low).astype(values.dtype)


def is_missing(value: Any) -> bool:
    """True for a label value that is none: null, NaN, or a text without a character."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def unknown_values(values: Iterable[Any], where: object, legend: Legend) -> DataError:
    """The error for label values that no class stands for."""
    listed = sorted({str(v) for v in values})
    shown = ", ".join(listed[:8]) + (f" and {len(listed) - 8} more" if len(listed) > 8 else "")
    return DataError("class-unknown", where, f"label values without a class: {shown}",
                     "add them to `classes`, or to `classes.ignore`; classes are "
                     + ", ".join(f"{c.id} {c.name}" for c in legend.classes))  # fmt: skip


def palette(n: int) -> list[str]:
    """`n` distinct colours (#rrggbb), the same on every run: hues by the golden angle, three lightnesses."""
    colours = []
    for i in range(n):
        r, g, b = colorsys.hls_to_rgb((0.08 + i * 0.618034) % 1, (0.5, 0.35, 0.65)[i % 3], 0.75)
        colours.append(f"#{round(r * 255):02x}{round(g * 255):02x}{round(b * 255):02x}")
    return colours


def parse_colour(text: str) -> tuple[int, int, int]:
    """(red, green, blue) 0..255 of `#rrggbb` or `#rgb`."""
    if not _COLOUR.match(text):
        raise ConfigError("colour", text, f"'{text}' is no colour", "write #rrggbb, such as #efcd08")
    digits = text[1:] if len(text) == 7 else "".join(2 * c for c in text[1:])
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def _keys(value: Any) -> tuple[Source, ...]:
    """The forms under which a label value may stand in the table: 3.0 and '3' are 3; text is itself."""
    if isinstance(value, str):
        text = value.strip()
        return (text, int(text)) if _INTEGER.match(text) else (text,)
    number = float(value)
    return (int(number), str(int(number))) if number.is_integer() else (str(value),)


def _within(rule: str, value: float) -> bool:
    found = _THRESHOLD.match(rule)
    if not found:
        return False
    bound = float(found[2])
    return {"<": value < bound, ">": value > bound, "<=": value <= bound, ">=": value >= bound}[found[1]]


def _unique(values: Sequence[Any], what: str) -> None:
    twice = sorted({str(v) for v in values if values.count(v) > 1})
    if twice:
        raise ConfigError("classes-twice", "classes", f"the same {what} stands twice: {', '.join(twice)}",
                          f"give every class its own {what}")  # fmt: skip
