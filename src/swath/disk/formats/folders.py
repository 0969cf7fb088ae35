"""Folders of images and masks, paired by stem.

Written as `{split}/images/NAME.tif` and `{split}/masks/NAME.tif`: GeoTIFFs with the sample's own grid. Read are also
`images/{split}` + `masks/{split}`, `{split}_frames` + `{split}_masks` (flat, or one level down as `{split}_frames/train`),
and `images` + `masks` without a split, which is trn. Nothing is moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from swath.core.errors import DataError
from swath.core.splits import SPLIT_OF, SPLITS, Split
from swath.disk.formats.foreign import (
    Facts,
    ForeignSample,
    ForeignSamples,
    Stems,
    malformed,
    read_card,
)
from swath.disk.formats.tiff import own_mask, rasters, read_image, read_labels, write_raster
from swath.disk.rasters.raster import RasterInfo, raster_info

IMAGES = ("images", "frames", "image", "imgs", "img")
MASKS = ("masks", "labels", "mask", "gt", "annotations")
Pair = tuple[Split, Path, Path]


def found(path: Path) -> bool:
    """True for a directory with folders of images and masks."""
    return path.is_dir() and bool(folder_pairs(path))


def read(path: Path) -> ForeignSamples:
    """The pairs of all splits. Raises DataError listing every mismatch: a stem without partner, sizes, bands, types."""
    folders = folder_pairs(path)
    if not folders:
        raise malformed(path, "holds no folders of images and masks", "expected: trn/images and trn/masks")
    pairs, problems = [], []
    for split, images, masks in folders:
        paired, odd = _paired(split, images, masks)
        pairs += paired
        problems += odd
    if not pairs and not problems:
        raise malformed(path, "its folders hold no rasters", "put images and masks of the same stem into them")
    infos, odd = _headers(pairs)
    problems += odd
    if problems:
        raise DataError("pairs-mismatch", path, f"{len(problems)} mismatches: {'; '.join(problems)}",
                        "add what is missing or remove what has no partner")  # fmt: skip
    card, _ = read_card(path)
    facts = card or Facts(_names(infos[0]), infos[0].dtype)

    def stream() -> Iterator[ForeignSample]:
        for split, image, mask in pairs:
            pixels, valid, grid = read_image(image)
            yield ForeignSample(image.stem, split, pixels, read_labels(mask), valid, grid)

    return ForeignSamples(path, facts, stream)


def fill(samples: ForeignSamples, part: Path) -> None:
    """Writes the folders."""
    part.mkdir()
    stems = Stems()
    for s in samples:
        stem, folder = stems.of(s), part / s.split
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        write_raster(folder / "images" / f"{stem}.tif", s.image, s.grid, samples.facts.bands, own_mask(s))
        write_raster(folder / "masks" / f"{stem}.tif", s.labels[None], s.grid)


def folder_pairs(root: Path) -> list[Pair]:
    """(split, folder of images, folder of masks), in order of split."""
    pairs: list[Pair] = []
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        name = folder.name.lower()
        if name in SPLIT_OF:
            pairs += _both(SPLIT_OF[name], _child(folder, IMAGES), _child(folder, MASKS))
        word, _, kind = name.rpartition("_")
        if word in SPLIT_OF and kind in IMAGES:
            masks = _child(root, [f"{folder.name[: len(word)]}_{m}" for m in MASKS])
            pairs += _both(SPLIT_OF[word], _nested(folder), _nested(masks) if masks else None)
        if name in IMAGES:
            pairs += _split_below(folder, _child(root, MASKS))
    return sorted(pairs, key=lambda p: SPLITS.index(p[0]))


def _split_below(images: Path, masks: Path | None) -> list[Pair]:
    if masks is None:
        return []
    named = [p for p in sorted(images.iterdir()) if p.is_dir() and p.name.lower() in SPLIT_OF]
    if not named:
        return [("trn", images, masks)]
    return [pair for p in named for pair in _both(SPLIT_OF[p.name.lower()], p, masks / p.name)]


def _both(split: Split, images: Path | None, masks: Path | None) -> list[Pair]:
    return [(split, images, masks)] if images and masks and masks.is_dir() else []


def _nested(folder: Path) -> Path:
    """The folder itself, or the one named like a split below it that holds the rasters."""
    below = [p for p in sorted(folder.iterdir()) if p.is_dir() and p.name.lower() in SPLIT_OF and rasters(p)]
    return below[0] if below and not rasters(folder) else folder


def _child(folder: Path, names: Iterable[str]) -> Path | None:
    wanted = {n.lower() for n in names}
    return next((p for p in sorted(folder.iterdir()) if p.is_dir() and p.name.lower() in wanted), None)


def _paired(split: Split, images: Path, masks: Path) -> tuple[list[Pair], list[str]]:
    problems = []
    listed = []
    for folder in (images, masks):
        by_stem: dict[str, Path] = {}
        for file in rasters(folder):
            if file.stem in by_stem:
                problems.append(f"{file} and {by_stem[file.stem].name} have one stem")
            by_stem[file.stem] = file
        listed.append(by_stem)
    mine, theirs = listed
    problems += [f"{mine[s]} has no mask" for s in sorted(mine.keys() - theirs.keys())]
    problems += [f"{theirs[s]} has no image" for s in sorted(theirs.keys() - mine.keys())]
    return [(split, mine[s], theirs[s]) for s in sorted(mine.keys() & theirs.keys())], problems


def _headers(pairs: list[Pair]) -> tuple[list[RasterInfo], list[str]]:
    infos: list[RasterInfo] = []
    problems = []
    for _, image, mask in pairs:
        try:
            info, other = raster_info(image), raster_info(mask)
        except DataError as e:
            problems.append(f"{e.where} {e.message}")
            continue
        infos.append(info)
        if info.grid.shape != other.grid.shape:
            problems.append(f"{mask} is {_size(other)} pixels, its image {_size(info)}")
        if _kind(info) != _kind(infos[0]):
            problems.append(f"{image} has {len(_names(info))} bands of {info.dtype}, "
                            f"{infos[0].path.name} {len(_names(infos[0]))} of {infos[0].dtype}")  # fmt: skip
    return infos, problems


def _kind(info: RasterInfo) -> tuple[int, str]:
    return len(_names(info)), info.dtype


def _names(info: RasterInfo) -> tuple[str, ...]:
    return tuple(n for i, n in enumerate(info.names, 1) if i != info.alpha)


def _size(info: RasterInfo) -> str:
    return f"{info.grid.width} x {info.grid.height}"
