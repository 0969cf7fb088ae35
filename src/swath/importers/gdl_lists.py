"""geo-deep-learning's lists: five columns without a heading (image, meta, gpkg, attribute, split), and colour maps."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path, PureWindowsPath
from typing import Any

from swath.core.errors import DataError
from swath.core.legend import palette
from swath.disk.vectors.vector import read_features
from swath.importers.places import expected
from swath.importers.report import Draft

COLUMNS = ("image", "meta", "gpkg", "attribute", "split")
NOTES = {
    "image": ("image", "either slash; relative to --root, or to a folder above the list"),
    "meta": ("metadata", "kept as a column of the manifest: `sources` with `metadata` read numbers of it"),
    "gpkg": ("labels", "polygons, reprojected to the image where needed"),
    "attribute": ("field", "without `properties/`"),
    "split": (
        "split",
        "the text allows trn, val and tst; the source stopped at val; taken: the text, val rows validate",
    ),
}
_COLOUR = re.compile(r"^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$")
_SPLITS = ("trn", "val", "tst")


def add_scenes(draft: Draft, path: Path, *, quiet: bool = False) -> None:
    """Adds the rows of a list to the draft's scenes, and unless `quiet` one row per column to its report.

    Raises DataError with file:line for a row without image or with an unknown split.
    """
    for line, cells in _rows(path):
        row = dict(zip(COLUMNS, [*cells, *[""] * 5], strict=False))
        where = f"{path}:{line}"
        if len(cells) > len(COLUMNS) or not row["image"]:
            raise DataError(
                "import-list", where, f"{len(cells)} values, {', '.join(COLUMNS)} are expected", "correct the row"
            )
        split = row["split"].lower()
        if split and split not in _SPLITS:
            raise DataError(
                "import-list", where, f"unknown split '{row['split']}'", f"write one of {', '.join(_SPLITS)}"
            )
        scene: dict[str, Any] = {"image": _place(row["image"], draft, path), "split": split}
        if row["meta"]:
            scene["metadata"] = _place(row["meta"], draft, path)
        if row["gpkg"]:
            scene["labels"] = _place(row["gpkg"], draft, path)
            scene["field"] = row["attribute"].removeprefix("properties/")
        draft.scenes.append(scene)
    if not draft.scenes:
        raise DataError("import-list", path, "lists no image", "write image,meta,gpkg,attribute,split on each line")
    if not quiet:
        for column, (became, note) in NOTES.items():
            key = {"meta": "metadata", "gpkg": "labels", "attribute": "field"}.get(column, column)
            values = Counter(str(s[key]) for s in draft.scenes if s.get(key))
            if values:
                draft.tell(f"scenes: {became}")
            draft.add(f"csv.{column}", ", ".join(f"{v} ({n})" for v, n in values.items()) or None, note)


def classes_of_vectors(draft: Draft) -> dict[int, dict[str, Any]]:
    """The class table of the values in the labels' fields: whole numbers are ids, texts are numbered in order."""
    values: set[Any] = set()
    for path, field in sorted({(s["labels"], s["field"]) for s in draft.scenes if s.get("labels") and s.get("field")}):
        if isinstance(path, Path) and path.exists():
            found = read_features(path, field=field).values
            values |= {v for v in found.tolist() if v is not None and v == v} if found is not None else set()
    whole = {v: int(float(v)) for v in values if re.fullmatch(r"\d+(\.0+)?", str(v).strip())}
    texts = sorted(str(v) for v in values if v not in whole)
    ids = sorted(set(whole.values()) - {0})
    colours = palette(len(ids) + len(texts) + 2)
    table: dict[int, dict[str, Any]] = {v: {"name": f"class {v}", "color": colours[n]} for n, v in enumerate(ids, 1)}
    first = max([0, *ids]) + 1
    for n, text in enumerate(texts):
        table[first + n] = {"name": text, "color": colours[len(ids) + n + 1], "source": [text]}
    return table or {1: {"name": "class 1", "color": colours[1]}}


def is_colormap(path: Path) -> bool:
    """True for rows of value, name and colour below a heading."""
    rows = [cells for _, cells in _rows(path)]
    return len(rows) > 1 and all(len(c) == 3 and _COLOUR.match(c[2]) for c in rows[1:])


def read_colormap(path: Path) -> dict[int, tuple[str, str]]:
    """Value -> (class name, #rrggbb) of a colour map. Raises DataError."""
    found: dict[int, tuple[str, str]] = {}
    for line, cells in list(_rows(path))[1:]:
        if len(cells) != 3 or not cells[0].isdecimal() or not _COLOUR.match(cells[2]):
            raise DataError("import-colours", f"{path}:{line}", f"{','.join(cells)!r} is no value, name and colour",
                            "write 1,roof,#efcd08")  # fmt: skip
        if int(cells[0]) in found:
            raise DataError(
                "import-colours", f"{path}:{line}", f"the value {cells[0]} stands twice", "keep one of them"
            )
        found[int(cells[0])] = (cells[1], cells[2])
    return found


def add_colormap(draft: Draft, path: Path, only: set[int] | None = None) -> None:
    """Names and colours of a colour map for the draft's classes, by value; `only` these ids, else all above 0."""
    for value, (name, colour) in read_colormap(path).items():
        if value and (only is None or value in only):
            taken = {c["name"] for k, c in draft.classes.items() if isinstance(k, int) and k != value}
            unique = name if name and name not in (*taken, "background") else f"{name or 'class'} {value}"
            draft.classes[value] = {**draft.classes.get(value, {}), "name": unique, "color": colour}


def _place(text: str, draft: Draft, path: Path) -> Path | str:
    """The file of a cell, or its address in the bucket that the config names."""
    bucket = draft.get("global.bucket_name")
    if not bucket:
        return expected(text, draft, path)
    return f"s3://{bucket}/{PureWindowsPath(text).as_posix().removeprefix('./').lstrip('/')}"


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """(line, cells) of a CSV's rows that hold anything. Raises DataError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as f:
            reader = csv.reader(f)
            return [(reader.line_num, [c.strip() for c in row]) for row in reader if any(c.strip() for c in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise DataError("import-list", path, f"cannot be read as CSV ({e})", "check the file") from e
