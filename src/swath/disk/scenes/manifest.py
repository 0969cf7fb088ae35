"""The manifest: one row per scene, as CSV with named columns, JSON or GeoPackage; paths relative to the manifest."""

from __future__ import annotations

import csv
import glob
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any

from swath.core.errors import ConfigError, DataError, did_you_mean
from swath.core.splits import SPLIT_OF, Split
from swath.disk.remote.access import is_remote, location
from swath.disk.remote.download import local_copy
from swath.disk.remote.stac import is_stac_item
from swath.disk.sources.cells import cell_file, cell_image, cell_labels
from swath.disk.sources.stack import Image, Stack, image_files

_ALIASES = {
    "label": "labels",
    "mask": "labels",
    "masks": "labels",
    "gpkg": "labels",
    "img": "image",
    "attribute": "field",
}
COLUMNS = ("image", "labels", "field", "layer", "split", "group", "name", "aoi")


@dataclass(frozen=True)
class Scene:
    """One manifest row: an image, its labels (vector or raster), the split it belongs to, and what else is known.

    `further` are vector files whose polygons label the image together with those of `labels`. `attributes` are the further
    columns, `root` the folder that their paths start at.
    """

    name: str
    image: Image
    labels: Path | None = None
    field: str | None = None
    layer: str | None = None
    split: Split | None = None
    group: str | None = None
    aoi: Path | None = None
    further: tuple[Path, ...] = ()
    attributes: dict[str, Any] = dataclass_field(default_factory=dict, compare=False)
    root: Path = dataclass_field(default=Path(), compare=False)

    @property
    def place(self) -> Path:
        """The file that the image is told by."""
        return self.image.main if isinstance(self.image, Stack) else self.image

    @property
    def label_files(self) -> tuple[Path, ...]:
        """The label raster, or the vector files of the labels; none where there are no labels."""
        return () if self.labels is None else (self.labels, *self.further)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the scene."""
        return (*image_files(self.image), *self.label_files, *([self.aoi] if self.aoi is not None else []))


def read_manifest(path: str | Path) -> tuple[Scene, ...]:
    """The scenes of a manifest, in its order. Raises DataError with file:line, or the list of missing files."""
    path = location(path)
    return scenes_from_rows(manifest_rows(path), path.parent)


def manifest_rows(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    """(where, row) of every row of a manifest as it is written. Raises DataError, for CSV while rows are taken."""
    if not path.exists():
        raise DataError("file-missing", path.absolute(), "no such manifest", "check `scenes:` in the config")
    readers = {".csv": _csv_rows, ".tsv": _csv_rows, ".json": _json_rows, ".geojson": _table_rows, ".gpkg": _table_rows}
    if path.suffix.lower() not in readers:
        raise DataError("manifest-format", path, f"'{path.suffix}' is no manifest", "write CSV, JSON or GeoPackage")
    return readers[path.suffix.lower()](path)


def scenes_from_rows(rows: Iterable[tuple[str, dict[str, Any]]], root: Path) -> tuple[Scene, ...]:
    """Scenes of (where, row) pairs; relative paths start at `root`. Names are made unique; every file must exist."""
    scenes = [_scene(where, row, root) for where, row in rows]
    if not scenes:
        raise DataError("manifest-empty", root, "the manifest lists no scene", "add a row with image and labels")
    missing = [p for s in scenes for p in s.files if not p.exists()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(
            "file-missing", missing[0].absolute(), f"no such file{more}", "correct the paths in the manifest"
        )
    return _named(scenes)


def expand_inputs(inputs: Sequence[str | Path], suffixes: set[str]) -> list[Path]:
    """The files of the images that inputs stand for (see `expand_scenes`), each once."""
    images = [scene.image for scene in expand_scenes(inputs, suffixes)]
    return list(dict.fromkeys(f for i in images for f in (i.files if isinstance(i, Stack) else (i,))))


def expand_scenes(inputs: Sequence[str | Path], suffixes: set[str]) -> list[Scene]:
    """The scenes that inputs stand for: files, STAC items, folders (their rasters; VRTs only where there are no others),
    globs and manifests; sorted within each input, each image once. Raises DataError where an input stands for nothing.
    """
    found = (scene for item in inputs for scene in _expand(location(item), suffixes))
    return list({scene.image: scene for scene in found}.values())


def in_split(scenes: Sequence[Scene], word: str) -> list[Scene]:
    """The scenes of a split, by any of its words. Raises ConfigError for another word, DataError where none is left."""
    if word.lower() not in SPLIT_OF:
        raise ConfigError("split-unknown", word, "is no split", did_you_mean(word, SPLIT_OF))
    found = [s for s in scenes if s.split == SPLIT_OF[word.lower()]]
    if not found:
        raise DataError("split-empty", word, f"none of {len(scenes)} inputs is in this split",
                        "name a manifest that fills the column `split`")  # fmt: skip
    return found


def _expand(path: Path, suffixes: set[str]) -> list[Scene]:
    item = str(path)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith("."))
        files = [p for p in files if p.suffix.lower() != ".vrt"] or files  # else pixels would count twice
    elif path.suffix.lower() == ".json" and path.exists() and is_stac_item(path):
        return [_scene(item, {"image": path}, Path())]
    elif path.suffix.lower() in {".csv", ".tsv"} or (path.suffix.lower() in {".json", ".gpkg"} and path.exists()):
        return list(read_manifest(path))
    elif not is_remote(path) and any(c in item for c in "*?[") and not path.exists():
        files = sorted(Path(p) for p in glob.glob(item, recursive=True) if Path(p).is_file())
    else:
        files = [path]
    if not files:
        raise DataError("inputs-none", item, "no raster found there", f"looked for {', '.join(sorted(suffixes))}")
    return [Scene(p.stem, p) for p in files]


def _scene(where: str, row: dict[str, Any], root: Path) -> Scene:
    named = {_column(k): v for k, v in row.items()}
    _once(where, [_column(k) for k in row])
    values = {k: (v.strip() or None) if isinstance(v, str) else v for k, v in named.items()}
    if not values.get("image"):
        raise DataError("manifest-image", where, "the row names no image", "fill the column `image`; columns are "
                        + ", ".join(COLUMNS))  # fmt: skip
    split = values.get("split")
    if split is not None and str(split).lower() not in SPLIT_OF:
        raise DataError("manifest-split", where, f"unknown split '{split}'", did_you_mean(str(split), SPLIT_OF))
    image = cell_image(values["image"], root)
    labels = cell_labels(values.get("labels"), root, where)
    known = set(COLUMNS)
    field_name = values.get("field")
    return Scene(
        name=str(values.get("name") or image.stem),
        image=image,
        labels=labels[0] if labels else None,
        field=str(field_name).removeprefix("properties/") if field_name else None,
        layer=values.get("layer"),
        split=SPLIT_OF[str(split).lower()] if split is not None else None,
        group=None if values.get("group") is None else str(values["group"]),
        aoi=cell_file(values.get("aoi"), root, where),
        further=labels[1:],
        attributes={k: v for k, v in values.items() if k not in known and v is not None},
        root=root,
    )


def _column(heading: Any) -> str:
    """The name of a column, whatever its case and synonym."""
    word = str(heading).strip().lower()
    return _ALIASES.get(word, word)


def _once(where: str, columns: Sequence[str]) -> None:
    twice = sorted({c for c in columns if columns.count(c) > 1})
    if twice:
        raise DataError("manifest-header", where, f"the column `{twice[0]}` stands twice", "keep one of its names")


def _named(scenes: list[Scene]) -> tuple[Scene, ...]:
    """Scenes with unique names: where two share a stem, their folders are put before it, then a number."""
    often = Counter(scene.name for scene in scenes)
    out: dict[str, Scene] = {}
    for scene in scenes:
        name = scene.name if often[scene.name] == 1 else f"{scene.image.parent.name}_{scene.name}"
        n, candidate = 2, name
        while candidate in out:
            candidate, n = f"{name}_{n}", n + 1
        out[candidate] = replace(scene, name=candidate)
    return tuple(out.values())


def _csv_rows(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as e:
        raise DataError("manifest-text", path, "is not UTF-8 text", "save it as UTF-8 CSV") from e
    reader = csv.DictReader(io.StringIO(text), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    try:
        header = [_column(h) for h in reader.fieldnames or []]
        _once(f"{path}:1", header)
        if "image" not in header:
            apart = any(";" in h for h in header)
            raise DataError("manifest-header", f"{path}:1", "the first line names no column `image`" + apart * ": it is cut by semicolons",
                            "save it with commas, or with tabs as .tsv" if apart else f"begin with: {','.join(COLUMNS[:5])}")  # fmt: skip
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if None in row:
                raise DataError("manifest-row", where, "more values than columns", "quote commas in names")
            yield where, row
    except csv.Error as e:
        raise DataError("manifest-text", f"{path}:{reader.line_num + 1}", f"is no CSV ({e})", "check the quotes") from e


def _json_rows(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as e:
        raise DataError("manifest-text", path, f"is not valid JSON ({e})", "check commas and quotes") from e
    rows = value.get("scenes") if isinstance(value, dict) else value
    if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        raise DataError("manifest-rows", path, "holds no list of scenes", 'write {"scenes": [{"image": ...}, ...]}')
    return [(f"{path} scene {i}", row) for i, row in enumerate(rows, 1)]


def _table_rows(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    from pyogrio.raw import read

    from swath.disk.vectors.vector import vector_info

    info = vector_info(path)
    meta, _, _, data = read(local_copy(path), layer=info.layer, read_geometry=False)
    columns = [str(f) for f in meta["fields"]]
    return [
        (f"{path} row {i + 1}", {c: _plain(values[i]) for c, values in zip(columns, data, strict=True)})
        for i in range(info.features)
    ]


def _plain(value: Any) -> Any:
    if value is None or value != value:  # NaN is a missing number
        return None
    return value.item() if hasattr(value, "item") else value


def config_scenes(scenes: str | Sequence[dict[str, Any]], config: Path) -> tuple[Scene, ...]:
    """The scenes that a config names: a manifest's path, relative to the config, or the rows themselves."""
    if isinstance(scenes, str):
        return read_manifest(location(scenes, config.parent))
    if not scenes:
        raise ConfigError(
            "scenes-empty", config, "`scenes` lists nothing", "name a manifest or rows with image and labels"
        )
    return scenes_from_rows(((f"{config} scene {i}", row) for i, row in enumerate(scenes, 1)), config.parent)


def survey(rows: Iterable[tuple[str, dict[str, Any]]], root: Path) -> tuple[tuple[Scene, ...], list[DataError]]:
    """The scenes of the rows that name one, and every problem: bad rows, and each missing file (still in its scene)."""
    scenes, problems = [], []
    listed = iter(rows)
    while True:
        try:
            where, row = next(listed)
            scenes.append(_scene(where, row, root))
        except StopIteration:
            break
        except DataError as e:
            problems.append(e)
    files = dict.fromkeys(p for s in scenes for p in s.files)
    problems += [
        DataError("file-missing", p.absolute(), "no such file", "correct the paths in the manifest")
        for p in files if not p.exists()
    ]  # fmt: skip
    return _named(scenes), problems
