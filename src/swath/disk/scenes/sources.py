"""The sources of a config or a bundle found for a scene: its image as one file, or as a stack of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from swath.core.errors import ConfigError, DataError, did_you_mean
from swath.disk.remote.access import is_remote, location
from swath.disk.remote.stac import stac_item
from swath.disk.scenes.manifest import COLUMNS, Scene
from swath.disk.sources.cells import cell_image
from swath.disk.sources.stack import (
    Constant,
    Files,
    Image,
    Part,
    Plugin,
    Position,
    Shapes,
    Stack,
    as_stack,
    reference_files,
)
from swath.specs import CoordinatesSpec, SourceSpec
from swath.yamltext import load_yaml

Sources = Mapping[str, SourceSpec]


def with_sources(scene: Scene, sources: Sources, roots: tuple[Path, ...]) -> Scene:
    """The scene with its image as the sources have it; the same scene where there are none or it has them already."""
    return replace(scene, image=scene_image(scene, sources, roots))


def scene_image(scene: Scene, sources: Sources, roots: tuple[Path, ...]) -> Image:
    """The image of a scene with all sources.

    Rasters are the manifest's columns of their names, relative to the manifest; `image` is the reference grid and
    comes first unless it is listed. Vector files of the config are looked for below `roots`. Raises DataError.
    """
    further = set(sources) - {"image"}
    if not sources or (further and isinstance(scene.image, Stack) and further <= set(scene.image.sources)):
        return scene.image
    known = sources if "image" in sources else {"image": SourceSpec(), **sources}
    image = as_stack(scene.image)
    parts = [_part(name, spec, scene, image, roots) for name, spec in known.items()]
    flat = tuple(p for group in parts for p in group)
    return scene.image if flat == (Files("image", (scene.image,)),) else Stack(flat, image.origin, image.left_out)  # type: ignore[arg-type]


def model_scenes(
    scenes: Iterable[Scene], sources: Sources, bundle: Path, given: Mapping[str, str] | None = None
) -> list[Scene]:
    """The scenes with the images that a model takes; `given` names sources by the command line, for all of them.

    Vector files that the model was trained with are looked for from the working directory and from every folder above
    the bundle. Raises ConfigError for a name that is no source of the model, DataError where a source is missing.
    """
    given = given or {}
    known = ["image", *(n for n in sources if n != "image")]
    for name in given:
        if name not in known:
            raise ConfigError("source-unknown", f"--source {name}", f"the model has no source '{name}'; it has "
                              f"{', '.join(known)}", did_you_mean(name, known))  # fmt: skip
    absolute = {n: _absolute(v) for n, v in given.items() if n != "image"}
    found = [replace(s, attributes={**s.attributes, **absolute}) for s in scenes]
    roots = (Path(), *bundle.absolute().parents)
    return [with_sources(s, sources, roots) for s in found]


def _absolute(cell: str) -> str:
    parts = [part.strip() for part in cell.split(";")]
    return ";".join(part if is_remote(part) else str(Path(part).absolute()) for part in parts)


def _part(name: str, spec: SourceSpec, scene: Scene, image: Stack, roots: tuple[Path, ...]) -> list[Part]:
    if spec.kind == "vector":
        file = _vector_file(name, spec, scene, roots)
        encode: Any = spec.encode or "binary"
        return [Shapes(name, file, spec.layer, spec.field, spec.ids, encode, spec.log, spec.scale, spec.limit)]
    if spec.kind == "metadata":
        value = _number(name, spec, scene)
        return [Constant(name, value)] if spec.encode != "scaled" else [Position(name, scale=value)]
    if spec.kind == "coordinates":
        given = spec.coordinates if isinstance(spec.coordinates, CoordinatesSpec) else CoordinatesSpec()
        return [Position(name, given.centered, given.normalized, given.scale, given.radius)]
    if spec.kind == "reader":
        assert spec.reader is not None
        cell = str(image.main) if name == "image" else _location(name, scene)
        return [Plugin(name, spec.reader, cell, tuple(sorted(spec.options.items())))]
    if name == "image":
        reference = image.reference
        if isinstance(reference, Files):
            reference = replace(reference, bands=spec.bands, nodata_value=spec.nodata_value).needed()
        return [reference]
    found = _column(name, scene)
    return [Files(name, found.files, found.names, spec.resample, spec.bands, spec.nodata_value, found.owners).needed()]


def _column(name: str, scene: Scene) -> Files:
    value = scene.attributes.get(name)
    if value is None:
        others = [k for k in scene.attributes if k not in COLUMNS]
        raise DataError("source-missing", scene.name, f"names no file for the source '{name}'",
                        did_you_mean(name, others) if others else f"fill the manifest's column `{name}`, or give --source {name}=FILE")  # fmt: skip
    found = reference_files(as_stack(cell_image(value, scene.root)))
    missing = [f for f in found.files if not f.exists()]
    if missing:
        raise DataError("file-missing", missing[0].absolute(), f"no such file (source '{name}' of {scene.name})",
                        "correct the paths in the manifest")  # fmt: skip
    return found


def _location(name: str, scene: Scene) -> str | None:
    value = scene.attributes.get(name)
    if value is None:
        return None
    if is_remote(value) or is_remote(scene.root):
        return str(value)
    path = scene.root / str(value)
    return str(path) if path.exists() else str(value)


def _vector_file(name: str, spec: SourceSpec, scene: Scene, roots: tuple[Path, ...]) -> Path:
    own = scene.attributes.get(name)
    tried = [location(str(own), scene.root)] if own is not None else [location(str(spec.vector), r) for r in roots]
    found = next((p for p in tried if p.exists()), None)
    if found is None:
        raise DataError("source-missing", tried[0] if tried else str(spec.vector),
                        f"the auxiliary vector '{name}' is missing (scene {scene.name})",
                        f"give its place: --source {name}=FILE, or the manifest's column `{name}`")  # fmt: skip
    return found


def _number(name: str, spec: SourceSpec, scene: Scene) -> float:
    assert spec.metadata is not None
    known = scene_metadata(scene)
    value = known.get(spec.metadata)
    if value is None:
        raise DataError("metadata-missing", scene.name, f"has no '{spec.metadata}' (source '{name}')",
                        did_you_mean(spec.metadata, known) if known else "fill a column of that name, or `metadata`")  # fmt: skip
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError("metadata-value", scene.name, f"'{spec.metadata}' is {value!r}, no number", "write a number")
    return number


def scene_metadata(scene: Scene) -> dict[str, Any]:
    """What is known of a scene by name: properties of its STAC item, its `metadata` file (JSON or YAML; keys of nested
    objects are joined by dots), and the further columns of the manifest, later ones over earlier ones.
    """
    found: dict[str, Any] = {}
    origin = scene.image.origin if isinstance(scene.image, Stack) else None
    if origin is not None:
        found |= _flat(stac_item(origin).properties)
    file = scene.attributes.get("metadata")
    if file is not None:
        found |= _flat(_metadata_file(location(str(file), scene.root)))
    return found | {k: v for k, v in scene.attributes.items() if k != "metadata"}


def _metadata_file(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        raise DataError("file-missing", path.absolute(), "no such metadata file", "correct the column `metadata`")
    try:
        value = json.loads(path.read_text("utf-8")) if path.suffix.lower() == ".json" else load_yaml(path).value
    except (ValueError, ConfigError) as e:
        raise DataError(
            "metadata-file", path, f"cannot be read ({e})", "write JSON or YAML with names and values"
        ) from e
    if not isinstance(value, dict):
        raise DataError("metadata-file", path, "holds no names with values", "write JSON or YAML with names and values")
    return value.get("properties", value) if value.get("type") == "Feature" else value


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, entry in value.items():
        if isinstance(entry, Mapping):
            out |= _flat(entry, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = entry
    return out
