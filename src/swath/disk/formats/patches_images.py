"""OTBTF's patches-images: patches stacked downwards in one raster of W x n*W pixels, without georeference.

Written per split as `{split}/image.tif` and `{split}/labels.tif`: one label per pixel, or where every sample has a label
of its own (samples around points) one per patch, an image of 1 x n. Read are such pairs in folders named like splits, or in
the directory itself (trn); `image_1.tif`, or `xs_1.tif`, goes with `labels_1.tif`. n = height / width. Labels of n values,
one per patch, stand for all pixels of their patch. Names and georeference have no place here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window as RioWindow

from swath.core.errors import DataError
from swath.core.splits import SPLIT_OF, SPLITS, Split
from swath.core.windows import Window
from swath.disk.formats.foreign import Facts, ForeignSample, ForeignSamples, malformed, read_card
from swath.disk.formats.tiff import LABEL_WORD, profile, rasters
from swath.disk.rasters.raster import RasterInfo, RasterReader, raster_info

_SOURCE_WORD = re.compile(r"(^|[_-])(images?|patches|source\d*|x)([_-]|$)", re.IGNORECASE)
Pair = tuple[Split, Path, Path]


def found(path: Path) -> bool:
    """True for a directory of label rasters and others, stacked downwards."""
    if not path.is_dir():
        return False
    files = [f for _, folder in _folders(path) for f in rasters(folder)]
    return len(files) > 1 and any(LABEL_WORD.search(f.stem) for f in files) and all(map(_stacked, files))


def read(path: Path) -> ForeignSamples:
    """The patches of all pairs. Raises DataError where the numbers of patches, bands or types of a pair differ."""
    pairs = [p for split, folder in _folders(path) for p in _pairs(split, folder)]
    if not pairs:
        raise malformed(path, "holds no pair of a patches-image and its labels", "expected: image.tif and labels.tif")
    heads = [raster_info(image) for _, image, _ in pairs]
    sizes = [_count(info, raster_info(labels)) for info, (_, _, labels) in zip(heads, pairs, strict=True)]
    card, _ = read_card(path)
    facts = card or Facts(heads[0].names, heads[0].dtype)
    whole = any(info.grid.width > 1 and raster_info(p[2]).grid.width != info.grid.width
                for info, p in zip(heads, pairs, strict=True))  # fmt: skip

    def stream() -> Iterator[ForeignSample]:
        numbers: Counter[str] = Counter()
        for (split, image, labels), count in zip(pairs, sizes, strict=True):
            yield from _patches(split, image, labels, count, numbers[split])
            numbers[split] += count

    notes = ("labels of one value per patch were taken for all its pixels",) if whole else ()
    return ForeignSamples(path, facts, stream, notes)


def fill(samples: ForeignSamples, part: Path) -> None:
    """Writes a pair of rasters per split. Raises DataError where samples are no squares of one size."""
    part.mkdir()
    counts, sides = Counter[Split](), set[tuple[int, int]]()
    for s in samples:  # a raster's height is needed before its first row is written
        counts[s.split] += 1
        sides.add(s.labels.shape)  # type: ignore[arg-type]
        label_type, whole = s.labels.dtype, s.label is not None  # all of them have a label, or none
    if len(sides) != 1 or len(set(next(iter(sides)))) != 1:
        raise DataError("samples-size", samples.source, f"samples of {sorted(sides)[:3]} pixels: patches-images hold "
                        "squares of one size", "choose folders or webdataset")  # fmt: skip
    side, rows = next(iter(sides))[0], Counter[Split]()
    outs: dict[tuple[Split, str], Any] = {}
    with ExitStack() as stack:
        for split, n in counts.items():
            (part / split).mkdir()
            for name, shape, dtype in (
                ("image", (len(samples.facts.bands), side * n, side), samples.facts.dtype),
                ("labels", (1, n, 1) if whole else (1, side * n, side), label_type),
            ):
                options = {**profile(shape, dtype), "blockysize": min(side, shape[1])}
                outs[split, name] = stack.enter_context(rasterio.open(part / split / f"{name}.tif", "w", **options))
            outs[split, "image"].descriptions = samples.facts.bands
        for s in samples:
            box = RioWindow(0, rows[s.split], side, side)
            outs[s.split, "image"].write(s.image, window=box)
            if s.label is None:
                outs[s.split, "labels"].write(s.labels[None], window=box)
            else:
                number = RioWindow(0, rows[s.split] // side, 1, 1)
                outs[s.split, "labels"].write(np.full((1, 1, 1), s.label, label_type), window=number)
            rows[s.split] += side


def _patches(split: Split, image: Path, labels: Path, count: int, first: int) -> Iterator[ForeignSample]:
    source, mask = RasterReader(image, list(range(1, raster_info(image).count + 1))), RasterReader(labels, rule="none")
    side = source.grid.width
    per_pixel = mask.grid.width == side
    values = None if per_pixel else mask.read(Window(0, 0, *mask.grid.shape))[0].reshape(-1)
    for i in range(count):
        box = Window(i * side, 0, side, side)
        pixels, _ = source.read(box)
        ids = mask.read(box)[0][0] if values is None else np.full((side, side), values[i])
        label = None if values is None else int(values[i])
        yield ForeignSample(f"{split}_{first + i:06d}", split, pixels, ids, label=label)


def _count(image: RasterInfo, labels: RasterInfo) -> int:
    """The number of patches of a pair. Raises DataError naming both counts where they differ."""
    height, width = image.grid.shape
    if height % width:
        raise malformed(image.path, f"{width} x {height} pixels are no whole number of square patches")
    tall, wide = labels.grid.shape
    theirs: float = tall / wide if wide == width else tall * wide
    if theirs != height // width or labels.count != 1 or not np.issubdtype(np.dtype(labels.dtype), np.integer):
        raise malformed(labels.path, f"{wide} x {tall} pixels of {labels.count} bands of {labels.dtype} hold {theirs:g} "
                        f"patches of labels, {image.path.name} {height // width} patches", "extract both anew")  # fmt: skip
    return height // width


def _folders(path: Path) -> list[tuple[Split, Path]]:
    named = [(SPLIT_OF[p.name.lower()], p) for p in path.iterdir() if p.is_dir() and p.name.lower() in SPLIT_OF]
    return sorted([("trn", path), *named], key=lambda f: (SPLITS.index(f[0]), f[1]))


def _pairs(split: Split, folder: Path) -> list[Pair]:
    """Patches-images with their labels, by what is left of the stem, else by the number at its end: a source may have any
    name. Raises DataError listing those without partner.
    """
    files = rasters(folder)
    labels = [f for f in files if LABEL_WORD.search(f.stem)]
    images = [f for f in files if not LABEL_WORD.search(f.stem)]
    if len(labels) == len(images) == 1:
        return [(split, images[0], labels[0])]
    by_rest = _keyed(images, lambda f: _rest(f, _SOURCE_WORD)), _keyed(labels, lambda f: _rest(f, LABEL_WORD))
    mine, theirs = by_rest if by_rest[0].keys() == by_rest[1].keys() else (_keyed(images, _number), _keyed(labels, _number))
    odd = [str(f) for k in mine.keys() | theirs.keys() for f in (*mine.get(k, ()), *theirs.get(k, ()))
           if not len(mine.get(k, ())) == len(theirs.get(k, ())) == 1]  # fmt: skip
    if odd:
        raise malformed(folder, f"{len(images)} patches-images and {len(labels)} labels do not pair: {', '.join(sorted(odd))}",
                        "name them image_1.tif and labels_1.tif, and keep one source")  # fmt: skip
    return [(split, mine[k][0], theirs[k][0]) for k in sorted(mine)]


def _keyed(files: list[Path], key: Callable[[Path], str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(key(file), []).append(file)
    return found


def _rest(file: Path, word: re.Pattern[str]) -> str:
    return word.sub("_", file.stem).strip("_-").lower()


def _number(file: Path) -> str:
    """The digits at the end of a name, else the name."""
    found = re.search(r"\d+$", file.stem)
    return found[0] if found else file.stem


def _stacked(file: Path) -> bool:
    try:
        height, width = raster_info(file).grid.shape
    except DataError:
        return True  # a broken file is told when it is read
    return height % width == 0 or height == 1
