"""Folders of images and masks -> scenes: `train_frames`/`train_masks` (flat or one level down), `images`/`masks`."""

from __future__ import annotations

from pathlib import Path

from swath.core.errors import DataError
from swath.core.splits import Split
from swath.disk.formats.folders import Pair, folder_pairs
from swath.disk.formats.tiff import rasters
from swath.importers.pairs import Pairing, class_table, greys, mask_values, paired, size_faults
from swath.importers.report import Draft


def import_frames_masks(draft: Draft, pairing: Pairing) -> None:
    """Fills the draft from a folder with `train_frames` and `train_masks`, `val_frames` and `val_masks`."""
    _from_folder(draft, pairing, "train_frames and train_masks")


def import_images_masks(draft: Draft, pairing: Pairing) -> None:
    """Fills the draft from a folder with `images` and `masks`, or with one of both per split."""
    _from_folder(draft, pairing, "images and masks")


def _from_folder(draft: Draft, pairing: Pairing, wanted: str) -> None:
    folders = pair_folders(draft.source, wanted)
    open_split = len(folders) == 1 and folders[0][1].name.lower() in ("images", "frames", "image", "imgs", "img")
    for split, images, masks in folders:
        add_pairs(draft, images, masks, None if open_split and images.parent == draft.source else split, pairing)
    add_classes(draft)


def pair_folders(folder: Path, wanted: str) -> list[Pair]:
    """(split, images, masks) of the folders below `folder`. Raises DataError where there are none."""
    if not folder.is_dir():
        raise DataError("import-kind", folder, "is no folder", f"name the folder that holds {wanted}")
    found = folder_pairs(folder)
    if not found:
        raise DataError("import-kind", folder, f"holds no {wanted}", "name the folder above them")
    return found


def add_pairs(
    draft: Draft, images: Path, masks: Path, split: Split | None, pairing: Pairing, key: str | None = None
) -> None:
    """Adds the pairs of two folders as scenes, and a row to the report; what has no partner is missing."""
    found, problems = paired(images, masks, pairing)
    faults = size_faults(found)
    found = [pair for pair in found if pair not in faults]
    problems += faults.values()
    if not found and not problems:
        problems = [f"{folder} holds no rasters" for folder in (images, masks) if not rasters(folder)]
    draft.missing += problems
    draft.scenes += [{"image": image, "labels": mask, "split": split or ""} for image, mask in found]
    draft.tell("scenes")
    draft.add(key or f"{images.name} + {masks.name}", f"{len(found)} pairs",
              f"paired by {pairing.by}, {len(problems)} problems; split {split or 'open'}; nothing was moved")  # fmt: skip


def add_classes(draft: Draft, *, only: str | None = None) -> None:
    """The class table of the masks' values, and a row; `only` names the one class of binary masks."""
    values = mask_values(dict.fromkeys(row["labels"] for row in draft.scenes))
    table = class_table(values, (lambda v: only) if only and set(values) <= {0, 1, 255} else "class {}".format)
    draft.classes.update(table)
    if 255 in values and 0 in values and 1 in values and len(values) == 3:
        draft.classes.pop(255, None)
        draft.set("classes.ignore", [255])
    draft.tell("classes")
    grey = "grey masks: above 127 is the one class, the rest background"
    shown = ", ".join(map(str, values[:20])) + (f" and {len(values) - 20} more" if len(values) > 20 else "")
    draft.add("(classes)", shown or None, grey if greys(values) else "the values found in all masks; 0 is background")
