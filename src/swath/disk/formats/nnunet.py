"""nnU-Net's raw data: `imagesTr/{case}_{channel:04d}.tif`, `labelsTr/{case}.tif`, `imagesTs`, `labelsTs`, dataset.json.

Training and validation lie in `imagesTr`; splits_final.json tells them apart. Labels are 0, 1, 2, ... in the order of the
class table, and `ignore` is the number after the last one, as nnU-Net demands; class 0 is its background. A mask of
invalid pixels has no place here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import DataError, SwathError
from swath.core.legend import ClassEntry, Legend, palette
from swath.core.splits import Split
from swath.disk.formats.foreign import (
    Facts,
    ForeignSample,
    ForeignSamples,
    Stems,
    malformed,
    read_card,
    read_json,
)
from swath.disk.formats.tiff import read_image, read_labels, write_raster

ENDINGS = (".tif", ".tiff", ".png", ".bmp")
Case = tuple[Split, str, Path, Path]  # split, case, folder of images, label file


def found(path: Path) -> bool:
    """True for a directory with dataset.json and imagesTr."""
    return (path / "dataset.json").exists() and (path / "imagesTr").is_dir()


def read(path: Path) -> ForeignSamples:
    """All labelled cases. Raises DataError listing every missing file, and where dataset.json does not fit them."""
    about = read_json(path / "dataset.json")
    ending = about.get("file_ending")
    if ending not in ENDINGS:
        raise malformed(
            path / "dataset.json", f"file_ending {ending!r} is no raster of ours", f"known: {', '.join(ENDINGS)}"
        )
    channels = _channels(about, path)
    legend, ignore = _legend(about, path)
    cases = _cases(path, ending, about)
    card, _ = read_card(path)
    dtype = read_image(_files(cases[0], ending)[0])[0].dtype.name
    facts = card or Facts(channels, dtype, None if legend is None else legend, ignore)
    table = _back(card.legend) if card and card.legend else None

    def stream() -> Iterator[ForeignSample]:
        for case in cases:
            files = _files(case, ending)
            parts = [read_image(f) for f in files]
            for file, part in zip(files, parts, strict=True):
                if part[0].shape[1:] != parts[0][0].shape[1:] or part[0].dtype != parts[0][0].dtype:
                    raise malformed(file, f"is {_kind(part[0])}, its first channel {_kind(parts[0][0])}")
            values = read_labels(case[3])
            if table is not None:
                if int(values.max(initial=0)) >= len(table) or int(values.min(initial=0)) < 0:
                    raise malformed(case[3], f"label {values.max()} is beyond the labels of dataset.json")
                values = table[values]
            image = np.concatenate([p[0] for p in parts])
            yield ForeignSample(case[1], case[0], image, values, None, parts[0][2])

    return ForeignSamples(path, facts, stream)


def fill(samples: ForeignSamples, part: Path) -> None:
    """Writes channels, labels, dataset.json, splits_final.json where there is a validation."""
    facts, legend = samples.facts, samples.facts.legend
    assert legend is not None  # Format.write sees to it
    part.mkdir()
    for name in ("imagesTr", "labelsTr"):
        (part / name).mkdir()
    stems, folds = Stems(), dict[str, list[str]](train=[], val=[])
    for s in samples:
        case, end = stems.of(s, "one"), "Ts" if s.split == "tst" else "Tr"
        for name in ("images", "labels"):
            (part / f"{name}{end}").mkdir(exist_ok=True)
        for i, band in enumerate(s.image):
            write_raster(part / f"images{end}" / f"{case}_{i:04d}.tif", band[None], s.grid)
        write_raster(part / f"labels{end}" / f"{case}.tif", _forth(s.labels, legend)[None], s.grid)
        if s.split != "tst":
            folds["val" if s.split == "val" else "train"].append(case)
    names = {"background": 0, **{_name(legend, i): n for n, i in enumerate(_order(legend)) if n}}
    names["ignore"] = len(names)
    about = {"channel_names": {str(i): b for i, b in enumerate(facts.bands)}, "labels": names,
             "numTraining": len(folds["train"]) + len(folds["val"]), "file_ending": ".tif"}  # fmt: skip
    (part / "dataset.json").write_text(json.dumps(about, indent=4), "utf-8")
    if folds["val"]:
        (part / "splits_final.json").write_text(json.dumps([folds], indent=4), "utf-8")


def _order(legend: Legend) -> list[int | None]:
    """The class ids by consecutive label: 0, the background, first, or None where there is no class 0."""
    return [0 if 0 in legend.ids else None, *(i for i in legend.ids if i)]


def _name(legend: Legend, number: int | None) -> str:
    """A class's name, with its id where nnU-Net means something else by it."""
    name = legend.names[legend.ids.index(number)] if number is not None else "background"
    return f"{name} {number}" if name in ("ignore", "background") else name


def _forth(labels: NDArray[Any], legend: Legend) -> NDArray[Any]:
    """Consecutive labels; the number after the last class where none counts."""
    order = _order(legend)
    out = np.full(labels.shape, len(order), np.uint8 if len(order) < 256 else np.uint16)
    for number, value in enumerate(order):
        if value is not None:
            out[labels == value] = number
    return out


def _back(legend: Legend) -> NDArray[Any]:
    """The id of each consecutive label, nodata where none counts."""
    return np.array([*(legend.nodata if i is None else i for i in _order(legend)), legend.nodata], legend.map_dtype)


def _channels(about: dict[str, Any], path: Path) -> tuple[str, ...]:
    names = about.get("channel_names")
    if not isinstance(names, dict) or not names or sorted(names) != sorted(map(str, range(len(names)))):
        raise malformed(path / "dataset.json", f"channel_names {names!r} do not name channels 0, 1, ...")
    return tuple(str(names[str(i)]) for i in range(len(names)))


def _legend(about: dict[str, Any], path: Path) -> tuple[Legend | None, int | None]:
    """(class table, ignore label) of dataset.json; no table where it names one class only."""
    labels = about.get("labels")
    if not isinstance(labels, dict) or not all(type(v) is int for v in labels.values()):
        raise malformed(path / "dataset.json", "its labels are no table of name and number (regions are not read)")
    ignore = labels.get("ignore")
    rest = sorted((v, n) for n, v in labels.items() if n != "ignore")
    colours = palette(len(rest))
    try:
        entries = (ClassEntry(v, n, colours[i] if v else "#000000") for i, (v, n) in enumerate(rest))
        return (Legend(tuple(entries)) if len(rest) > 1 else None), ignore
    except SwathError as e:
        raise malformed(path / "dataset.json", f"its labels: {e.message}") from e


def _cases(path: Path, ending: str, about: dict[str, Any]) -> list[Case]:
    held = _validation(path)
    cases: list[Case] = []
    for end in ("Tr", "Ts"):
        images, labels = path / f"images{end}", path / f"labels{end}"
        names = {f.name[: -len(ending)] for f in labels.glob(f"*{ending}")} if labels.is_dir() else set()
        pictured = {f.name[: -len(ending)].rpartition("_")[0] for f in images.glob(f"*{ending}")} if names else names
        odd = [f"{images / n}_*{ending} is missing" for n in sorted(names - pictured)]
        odd += [f"{labels / n}{ending} is missing" for n in sorted(pictured - names)]
        if odd:
            raise DataError("pairs-mismatch", path, f"{len(odd)} mismatches: {'; '.join(odd)}", "add what is missing")
        for name in sorted(names):
            split: Split = "tst" if end == "Ts" else "val" if name in held else "trn"
            cases.append((split, name, images, labels / f"{name}{ending}"))
    training = sum(c[0] != "tst" for c in cases)
    if not cases or training != about.get("numTraining", training):
        raise malformed(path, f"dataset.json tells of {about.get('numTraining')} training cases, {training} are here")
    return cases


def _validation(path: Path) -> set[str]:
    """The validation cases of the first fold."""
    file = path / "splits_final.json"
    if not file.exists():
        return set()
    try:
        return {str(c) for c in json.loads(file.read_text(encoding="utf-8"))[0]["val"]}
    except (OSError, ValueError, LookupError, TypeError) as e:
        raise malformed(file, f"holds no folds ({e!r})") from e


def _kind(image: NDArray[Any]) -> str:
    return f"{image.shape[2]} x {image.shape[1]} pixels of {image.dtype.name}"


def _files(case: Case, ending: str) -> list[Path]:
    """The channel files of a case, in order. Raises DataError where a number is left out."""
    _, name, images, _ = case
    files = sorted(f for f in images.glob(f"*{ending}") if f.name[: -len(ending)].rpartition("_")[0] == name)
    if [f.name for f in files] != [f"{name}_{i:04d}{ending}" for i in range(len(files))]:
        raise malformed(images, f"the channels of {name} are not 0000, 0001, ...: {[f.name for f in files]}")
    return files
