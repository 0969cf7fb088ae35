"""Config text -> frozen specs. Unknown and duplicate keys are refused with file:line:column and the closest key.

Every omitted setting has a default, or is read from the data (`auto` here, decided in `disk.project`), and is printed
with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from swath.core.errors import ConfigError, did_you_mean
from swath.core.legend import ClassEntry, Legend, palette, parse_colour
from swath.specs import (
    AugmentSpec,
    BandsSpec,
    ClassesSpec,
    ClassSpec,
    CoordinatesSpec,
    LabelsSpec,
    ModelSpec,
    PredictSpec,
    RuntimeSpec,
    SampleSpec,
    SourceSpec,
    Spec,
    SplitSpec,
    TrainSpec,
    VectorizeSpec,
    setting,
)
from swath.yamltext import COMMAND_LINE, Key, Marked, load_yaml, parse_value

S = TypeVar("S", bound=Spec)


class Config(Spec):
    """A whole config: scenes, classes, and one section per step. With `train.store`, `swath train` needs no scenes."""

    scenes: str | tuple[dict[str, Any], ...] | None = setting(
        None, "manifest (CSV, JSON, GeoPackage) or a list of rows", "train.store names what is learnt from"
    )
    classes: ClassesSpec
    sources: dict[str, SourceSpec] = setting({}, "sources of the model input by name, in band order", "the image alone")
    bands: BandsSpec = Field(default_factory=BandsSpec)
    labels: LabelsSpec = Field(default_factory=LabelsSpec)
    split: SplitSpec = Field(default_factory=SplitSpec)
    sample: SampleSpec = Field(default_factory=SampleSpec)
    model: ModelSpec = Field(default_factory=ModelSpec)
    augment: AugmentSpec = Field(default_factory=AugmentSpec)
    train: TrainSpec = Field(default_factory=TrainSpec)
    predict: PredictSpec = Field(default_factory=PredictSpec)
    vectorize: VectorizeSpec = Field(default_factory=VectorizeSpec)
    runtime: RuntimeSpec = Field(default_factory=RuntimeSpec)
    output: str | None = setting(None, "directory of the run", "runs/<config stem> beside the config")

    @field_validator("output")
    @classmethod
    def _local(cls, value: str | None) -> str | None:
        """Refuses a run that is no local directory."""
        if value is not None and "://" in value:
            raise ValueError("a run is a local directory; send its maps with `swath predict --out s3://...`")
        return value

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, value: Any) -> Any:
        """A section whose keys are all commented out is as if it were not there."""
        if not isinstance(value, dict):
            return value
        return {
            k: v for k, v in value.items() if v is not None or k not in cls.model_fields or k in ("scenes", "classes")
        }

    def inputs(self) -> dict[str, SourceSpec]:
        """The sources of the model input: `sources`, and the planes of `model.coordconv` with `where: input` last."""
        spec = self.model.coordconv
        if spec is None or spec.where != "input":
            return dict(self.sources)
        kept = {k: getattr(spec, k) for k in CoordinatesSpec.model_fields}
        return {**self.sources, "coordconv": SourceSpec(coordinates=CoordinatesSpec(**kept))}

    def legend(self) -> Legend:
        """The class table as core's Legend; class 0 is background unless the config names it."""
        table = dict(self.classes.table)
        if 0 not in table and self.classes.unlabelled == "background":
            table[0] = ClassSpec(name="background", color="#000000")
        colours = ["#000000", *palette(len(table))] if 0 in table else palette(len(table))  # black shows every other
        entries = (
            ClassEntry(i, c.name, c.color or colours[n], c.source) for n, (i, c) in enumerate(sorted(table.items()))
        )
        return Legend(tuple(entries), self.classes.unlabelled, self.classes.ignore, self.classes.field)


def load_config(path: str | Path, overrides: Sequence[str] = (), *, scenes: bool = True) -> Config:
    """The config of a YAML file with `section.key=value` overrides; `scenes` False where only its classes are asked for.
    Raises ConfigError."""
    path = Path(path)
    if path.is_dir():
        raise ConfigError("config-missing", path, "is a directory", "name the YAML file of the config")
    return build_config(load_yaml(path), overrides, scenes=scenes)


def build_config(marked: Marked, overrides: Sequence[str] = (), *, scenes: bool = True) -> Config:
    """The config of parsed text with overrides; `scenes`: whether it must say what the scenes are."""
    if not isinstance(marked.value, dict):
        raise ConfigError("config-empty", marked.source, "holds no keys", "begin with `scenes:` and `classes:`")
    for text in overrides:
        override(marked, text)
    config = validated(Config, marked)
    if scenes and config.scenes is None and config.train.store is None:
        raise ConfigError("config-missing-key", marked.where(("scenes",)), "the key 'scenes' is missing", "add it")
    try:
        legend = config.legend()
        for entry in legend.classes:
            parse_colour(entry.color)
    except ConfigError as e:
        raise ConfigError(e.code, marked.where(("classes",)), e.message, e.fix) from e
    for key, name in _class_names(config):
        if name not in legend.names:
            raise ConfigError("class-unknown", marked.where(key), f"{'.'.join(key[:2])}: no class is named '{name}'",
                              did_you_mean(name, legend.names))  # fmt: skip
    return config


def _class_names(config: Config) -> Iterator[tuple[Key, str]]:
    """(key, name) of every class that a setting names."""
    yield from ((("sample", "class_min", name), name) for name in config.sample.class_min)
    weights = config.train.class_weights
    if isinstance(weights, dict):
        yield from ((("train", "class_weights", name), name) for name in weights)
    yield from ((("vectorize", "classes"), name) for name in config.vectorize.classes or ())


def override(marked: Marked, text: str) -> None:
    """Sets `section.key=value` in the parsed values; integer parts of the path are class ids."""
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise ConfigError("override", text, "is no override", "write section.key=value, such as train.budget=10m")
    keys: list[Any] = [int(p) if p.isdecimal() else p for p in path.split(".")]
    at = marked.value
    for depth, key in enumerate(keys[:-1], 1):
        if at.get(key) is None:
            at[key] = {}
            marked.marks[tuple(keys[:depth])] = COMMAND_LINE
        at = at[key]
        if not isinstance(at, dict):
            raise ConfigError("override", text, f"'{key}' holds a value, no section", "override that key itself")
    at[keys[-1]] = parse_value(value)
    for key in [k for k in marked.marks if k[: len(keys)] == tuple(keys)]:
        del marked.marks[key]
    marked.marks[tuple(keys)] = COMMAND_LINE


def validated(spec: type[S], marked: Marked) -> S:
    """The spec of parsed values; the first problem becomes a ConfigError with its place and the closest key."""
    try:
        return spec.model_validate(marked.value)
    except ValidationError as e:
        raise _explained(spec, marked, e) from e


def _explained(spec: type[Spec], marked: Marked, error: ValidationError) -> ConfigError:
    problems = error.errors()
    first = min(problems, key=lambda p: p["type"] != "extra_forbidden")
    loc = _written(first, marked)
    key = ".".join(str(p) for p in loc)
    others = len({_written(p, marked) for p in problems}) - 1
    more = f" ({others} more problem{'s' * (others > 1)})" if others else ""
    if first["type"] == "extra_forbidden":
        known = list(_fields_at(spec, loc[:-1]))
        return ConfigError(
            "config-unknown-key", marked.where(loc), f"unknown key '{key}'{more}", did_you_mean(loc[-1], known)
        )
    if first["type"] == "missing":
        return ConfigError("config-missing-key", marked.where(loc), f"the key '{key}' is missing{more}", "add it")
    said = " or ".join(p["msg"].removeprefix("Value error, ") for p in problems if _written(p, marked) == loc)
    got = "" if isinstance(first["input"], dict | list) else f", got {first['input']!r}"
    return ConfigError("config-value", marked.where(loc), f"{key}: {said}{got}{more}", _remedy(spec, loc))


def _written(problem: Any, marked: Marked) -> Key:
    """The key of a problem as the user wrote it, without pydantic's names for the alternatives of a type."""
    loc: Key = tuple(p for p in problem["loc"] if p != "table")
    while len(loc) > 1 and loc not in marked.marks and problem["type"] not in ("extra_forbidden", "missing"):
        loc = loc[:-1]
    return loc


def _fields_at(spec: type[Spec], loc: Key) -> Iterator[str]:
    at: Any = spec
    for part in loc:
        field = at.model_fields.get(part) if isinstance(at, type) and issubclass(at, Spec) else None
        at = field.annotation if field else (ClassSpec if at is ClassesSpec else None)
    if isinstance(at, type) and issubclass(at, Spec):
        yield from (f for f in at.model_fields if f != "table")


def _remedy(spec: type[Spec], loc: Key) -> str:
    at: Any = spec
    what = ""
    for part in loc:
        field = at.model_fields.get(part) if isinstance(at, type) and issubclass(at, Spec) else None
        if field is None:
            break
        at, what = field.annotation, field.description or what
    return f"it is: {what}" if what else "see `swath schema`"


def omitted(spec: Spec, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """(key, default, reason) of every setting that the config left out, section by section."""
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        if isinstance(value, Spec):
            yield from omitted(value, f"{prefix}{name}.")
        elif name not in spec.model_fields_set and isinstance(field.json_schema_extra, Mapping):
            yield f"{prefix}{name}", value, str(field.json_schema_extra["because"])


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a config, for editors."""
    schema = Config.model_json_schema()
    classes = schema["$defs"]["ClassesSpec"]
    table = classes["properties"].pop("table")
    entry = table["additionalProperties"]
    classes["required"] = []
    classes["patternProperties"] = {r"^\d+$": {"anyOf": [{"type": "string"}, entry]}}
    schema["title"] = "Swath config"
    return schema
