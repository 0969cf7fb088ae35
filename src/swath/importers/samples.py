"""Samples that an old system has cut already (HDF5, LMDB, TFRecords, patches-images) -> scenes that can be trained on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from swath.core.errors import DataError
from swath.disk.formats import ForeignSamples, named_format
from swath.disk.formats.foreign import read_card
from swath.disk.formats.tiff import rasters
from swath.importers.report import Draft
from swath.steps.convert import convert_samples, require_place

FOLDER = "samples"


def take_samples(
    draft: Draft, source: Path, out: Path, *, kind: str, samples: ForeignSamples | None = None, test_is: str = "tst",
    overwrite: bool = False,
) -> None:  # fmt: skip
    """Writes every sample below `source` as a GeoTIFF with its mask to `out`/samples, one scene each.

    `kind` is a format of `swath convert`, `samples` are those wanted of it (None: all); scenes of the old test split become
    `test_is`.
    Classes are those found. Raises DataError, ConfigError and ResourceError as `swath convert`.
    """
    made = out / FOLDER
    require_place(source, made, "folders", overwrite=overwrite)
    told = convert_samples(samples or named_format(kind).read(source), kind, made, to="folders")
    card, _ = read_card(made)
    if card is None or card.legend is None:
        raise DataError("import-samples", made, "has no class table", "report this")
    counts: Counter[str] = Counter()
    for split in told["samples"]:
        named = test_is if split == "tst" else split
        for image in rasters(made / split / "images"):
            counts[named] += 1
            draft.scenes.append({"image": image, "labels": made / split / "masks" / image.name, "split": named,
                                 "name": f"{split}_{image.stem}"})  # fmt: skip
    for entry in card.legend.classes:
        if entry.id and entry.id not in draft.classes:
            draft.classes[entry.id] = {"name": entry.name, "color": entry.color}
    if "unlabelled" not in draft.classes:
        draft.classes.setdefault(0, {"name": "background", "color": "#000000"})
    draft.classes["ignore"] = sorted({*draft.classes.get("ignore", []), card.legend.nodata})
    draft.tell("scenes, classes")
    draft.add("(samples)", ", ".join(f"{n} {s}" for s, n in counts.items() if n),
              f"{told['from']}: one scene each in {FOLDER}/, with its georeference where it was kept; "
              "classes are those of `classes`, overlaps of neighbours and leaks between splits stay as they were")  # fmt: skip
    for note in told["notes"]:
        draft.add("(samples)", None, note)
    if test_is == "val":
        draft.add("(test split)", None, "test database used as val: it chose the old model, so it scores nothing here")
