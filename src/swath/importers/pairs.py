"""Images and masks in two folders -> pairs, by stem, by a regular expression or by order; all mismatches at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import ConfigError, DataError, did_you_mean
from swath.core.legend import distinct, palette
from swath.core.windows import Window
from swath.disk.formats.tiff import rasters
from swath.disk.rasters.raster import RasterReader, raster_info

PAIR_BY = ("stem", "regex", "order")
_MOST_CLASSES = 200  # more values than these are greys, not classes
_ROWS = 1024


@dataclass(frozen=True)
class Pairing:
    """How an image finds its mask: `by` stem, regex (the text that `pattern` finds, or its first group) or order."""

    by: str = "stem"
    pattern: str | None = None

    def __post_init__(self) -> None:
        if self.by not in PAIR_BY:
            raise ConfigError("choice", "--pair-by", f"'{self.by}' is no choice", did_you_mean(self.by, PAIR_BY))
        if (self.by == "regex") != (self.pattern is not None):
            raise ConfigError("pattern", "--pattern", "goes with --pair-by regex, and only with it", "give both")
        try:
            re.compile(self.pattern or "")
        except re.error as e:
            raise ConfigError(
                "pattern", "--pattern", f"is no regular expression ({e})", "quote it for the shell"
            ) from e

    def key(self, path: Path) -> str | None:
        """What image and mask have in common; None where the pattern finds nothing."""
        if self.pattern is None:
            return path.stem
        found = re.search(self.pattern, path.stem)
        return (found[1] if found.groups() else found[0]) if found else None


def paired(images: Path, masks: Path, pairing: Pairing) -> tuple[list[tuple[Path, Path]], list[str]]:
    """(image, mask) pairs in order of the images, and every file without partner. Nothing is moved."""
    mine, theirs = rasters(images), rasters(masks)
    if pairing.by == "order":
        rest = [f"{p} has no partner" for p in (*mine[len(theirs) :], *theirs[len(mine) :])]
        return list(zip(mine, theirs, strict=False)), rest
    problems: list[str] = []
    by_key, others = _keyed(mine, pairing, problems), _keyed(theirs, pairing, problems)
    problems += [f"{by_key[k]} has no mask" for k in by_key if k not in others]
    problems += [f"{others[k]} has no image" for k in others if k not in by_key]
    return [(image, others[k]) for k, image in by_key.items() if k in others], problems


def _keyed(files: Iterable[Path], pairing: Pairing, problems: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        key = pairing.key(file)
        if key is None:
            problems.append(f"{file} does not match the pattern")
        elif key in found:
            problems.append(f"{file} and {found[key].name} are both '{key}'")
        else:
            found[key] = file
    return found


def size_faults(pairs: Sequence[tuple[Path, Path]]) -> dict[tuple[Path, Path], str]:
    """Every pair that cannot be read or differs in size, with the reason."""
    faults: dict[tuple[Path, Path], str] = {}
    for image, mask in pairs:
        try:
            mine, theirs = raster_info(image).grid, raster_info(mask).grid
        except DataError as e:
            faults[image, mask] = f"{e.where} {e.message}"
            continue
        if mine.shape != theirs.shape:
            sizes = f"{theirs.width} x {theirs.height} pixels, its image {mine.width} x {mine.height}"
            faults[image, mask] = f"{mask} is {sizes}"
    return faults


def mask_values(masks: Iterable[Path]) -> list[int]:
    """The values of all masks, every pixel looked at; those of floats that are whole, NaN aside. Raises DataError for masks
    that are no class rasters.
    """
    found: set[int] = set()
    for mask in masks:
        reader = RasterReader(mask, rule="none")
        if len(reader.indexes) != 1:
            raise DataError("mask-kind", mask, f"has {len(reader.indexes)} bands of {reader.info.dtype}, no class ids",
                            "write `classes` with colours or thresholds as `source` by hand")  # fmt: skip
        height, width = reader.grid.shape
        for row in range(0, height, _ROWS):
            values = reader.read(Window(row, 0, min(_ROWS, height - row), width))[0]
            if values.dtype.kind == "f":
                values = _whole(values, mask)
            found |= set(distinct(values).tolist())
    return sorted(found)


def _whole(values: NDArray[Any], mask: Path) -> NDArray[np.int64]:
    """The values as whole numbers, but for NaN. Raises DataError where they are none."""
    known = values[~np.isnan(values)]
    if not (known == np.rint(np.clip(known, -65535, 65535))).all():
        raise DataError("mask-kind", mask, f"holds fractions, or numbers too large, as {values.dtype.name}: no class ids",
                        "write `classes` with thresholds as `source` by hand")  # fmt: skip
    return known.astype(np.int64)


def greys(values: Sequence[int]) -> bool:
    """True for values of a grey mask: 0 and 255 alone, or too many of 0 to 255 to be classes."""
    inside = all(0 <= v <= 255 for v in values)
    return inside and ((255 in values and set(values) <= {0, 255}) or len(values) > _MOST_CLASSES)


def class_table(values: Sequence[int], names: Callable[[int], str] = "class {}".format) -> dict[int, dict[str, object]]:
    """The classes of mask values: each value above 0 is a class; of grey masks all above 127 is one class.

    Raises ConfigError where the values are too many to be classes.
    """
    if greys(values):
        return {1: {"name": names(1), "color": palette(2)[1], "source": [">127"]}}
    ids = [v for v in values if v != 0]
    if len(ids) > _MOST_CLASSES or any(v < 0 or v > 65534 for v in ids):
        raise ConfigError("classes-unclear", "masks", f"hold {len(ids)} values from {min(ids)} to {max(ids)}",
                          "these are no class ids: write `classes` with thresholds as `source` by hand")  # fmt: skip
    colours = palette(max(len(ids), 1) + 1)
    return {v: {"name": names(v), "color": colours[n]} for n, v in enumerate(ids or [1], 1)}
