"""Samples made up for tests of formats, and what must come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from affine import Affine

from swath.core.grid import Grid
from swath.core.legend import ClassEntry, Legend
from swath.core.splits import SPLITS
from swath.core.windows import Window
from swath.disk.formats import Facts, ForeignSample, ForeignSamples
from swath.disk.formats.foreign import safe_stem

CORNER = Affine(0.5, 0.0, 583_000.0, 0.0, -0.5, 4_507_000.0)


def legend_of(ids: tuple[int, ...]) -> Legend:
    """A class table with names of more than one word."""
    return Legend(tuple(ClassEntry(i, f"kind of {i}", f"#{i % 256:02x}10ff") for i in ids))


def made(
    count: int = 7, *, seed: int = 0, dtype: str = "uint16", bands: int = 3, side: int = 12, width: int | None = None,
    ids: tuple[int, ...] = (0, 1, 7), splits: tuple[str, ...] = SPLITS, crs: str | None = None, masks: bool = False,
    scene: str = "town",
) -> ForeignSamples:  # fmt: skip
    """Samples with noise, ids and ignored pixels, whose splits take turns."""
    rng = np.random.default_rng(seed)
    legend = legend_of(ids)
    wide = width or side
    grid = Grid(crs, CORNER, side, wide * count)
    samples = []
    for n in range(count):
        image = (rng.normal(0, 1, (bands, side, wide)) if dtype == "float32" else
                 rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (bands, side, wide), endpoint=True))  # fmt: skip
        labels = rng.choice(np.array([*ids, legend.nodata], legend.map_dtype), (side, wide))
        valid = None
        if masks:
            valid = rng.random((side, wide)) > 0.3
            labels[~valid] = legend.nodata
        own = grid.window(Window(0, n * wide, side, wide)) if crs else None
        name = f"{scene}_i0_j{n * wide}"
        samples.append(ForeignSample(name, splits[n % len(splits)], image.astype(dtype), labels, valid, own))  # type: ignore[arg-type]
    facts = Facts(tuple(f"band {i}" for i in range(bands)), dtype, legend, legend.nodata)
    return ForeignSamples(Path("made"), facts, lambda: iter(samples))


def same(back: ForeignSamples, sent: ForeignSamples, keeps: frozenset[str]) -> None:
    """Asserts that what came back is what was sent, as far as the layout keeps it."""
    assert back.facts == sent.facts
    mine, theirs = list(sent), list(back)
    assert len(mine) == len(theirs)
    if "names" in keeps:
        theirs_by = {(s.split, s.name): s for s in theirs}
        pairs = [(s, theirs_by.get((s.split, s.name)) or theirs_by[s.split, safe_stem(s.name)]) for s in mine]
    else:
        pairs = [p for k in SPLITS for p in zip(*([s for s in x if s.split == k] for x in (mine, theirs)), strict=True)]
    for a, b in pairs:
        assert a.split == b.split
        assert a.image.dtype == b.image.dtype
        assert a.labels.dtype == b.labels.dtype
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.labels, b.labels)
        if "masks" in keeps:
            assert np.array_equal(a.mask, b.mask)
        if "georeference" in keeps:
            assert same_grid(a.grid, b.grid)


def same_grid(a: Grid | None, b: Grid | None) -> bool:
    """True where both lie in the same place, to a thousandth of a pixel."""
    if a is None or b is None:
        return a is b
    apart = max(abs(x - y) for x, y in zip(a.transform, b.transform, strict=True))
    return a.shape == b.shape and apart < 5e-4 and (a.crs or "")[:30] == (b.crs or "")[:30]
