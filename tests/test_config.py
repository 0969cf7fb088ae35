"""A config is read whole, overrides reach every key, and what it omits is told with its default and reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from swath.config import Config, build_config, json_schema, load_config, omitted
from swath.core.blend import BLENDS
from swath.core.errors import ConfigError
from swath.specs import Spec, parse_duration, parse_size
from swath.yamltext import parse_yaml

SHORT = 'scenes: scenes.csv\nclasses: {field: class, 1: {name: roof, color: "#efcd08"}}\n'
SECTIONS = {name: f.annotation for name, f in Config.model_fields.items() if isinstance(f.annotation, type)}


def config(text: str = "", overrides: tuple[str, ...] = ()) -> Config:
    return build_config(parse_yaml(SHORT + text, "c.yaml"), overrides)


def test_the_short_config_is_enough_for_a_map() -> None:
    found = config()
    assert found.scenes == "scenes.csv"
    assert found.classes.field == "class"
    assert found.legend().ids == (0, 1)
    assert found.legend().names == ("background", "roof")
    assert found.legend().classes[1].color == "#efcd08"
    assert found.legend().field == "class"


def test_the_long_form_of_classes() -> None:
    text = """
scenes: s.csv
classes:
  unlabelled: ignore
  ignore: 255
  4: forest
  2: {name: lake, source: "#00f", color: "#0000ff"}
  7: {name: bright, source: ">127"}
  9: {name: field, source: [crop, 12]}
"""
    legend = build_config(parse_yaml(text, "c.yaml")).legend()
    assert legend.ids == (2, 4, 7, 9)
    assert legend.unlabelled == "ignore"
    assert legend.ignored == (255,)
    assert [c.source for c in legend.classes] == [("#00f",), (), (">127",), ("crop", 12)]
    assert len({c.color for c in legend.classes}) == 4


def test_yaml_traps_keep_their_meaning() -> None:
    found = config("model: {name: no}\nsample: {tile: 010}\ntrain: {lr: 1e-3, budget: 1h30m}\npredict: {memory: 2GB}\n")
    assert found.model.name == "no"
    assert found.sample.tile == 10
    assert found.train.lr == 0.001
    assert found.train.budget == 5400
    assert found.predict.memory == 2 * 10**9


def test_scenes_may_be_rows() -> None:
    found = build_config(parse_yaml("scenes: [{image: a.tif, labels: b.tif}]\nclasses: {1: a}", "c.yaml"))
    assert found.scenes == ({"image": "a.tif", "labels": "b.tif"},)


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValidationError):
        config().train.seed = 3  # type: ignore[misc]


def test_gdl_022_an_override_is_visible_in_the_config() -> None:
    assert config(overrides=("train.lr=1e-3",)).train.lr == 0.001


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("train.budget=10m", "train.budget", 600.0),
        ("predict.save=[classes, confidence]", "predict.save", ("classes", "confidence")),
        ("train.loss={ce: 1, dice: 0.5}", "train.loss", {"ce": 1, "dice": 0.5}),
        ("train.loss.dice=0.5", "train.loss", {"dice": 0.5}),
        ("bands.select=[3, nir]", "bands.select", (3, "nir")),
        ("sample.class_min.roof=0.1", "sample.class_min", {"roof": 0.1}),
        ("train.class_weights=auto", "train.class_weights", "auto"),
        ("train.lr=", "train.lr", None),
        ("output=a=b", "output", "a=b"),
        ("scenes=other.csv", "scenes", "other.csv"),
        ("split.tst=0", "split.tst", 0.0),
    ],
)
def test_overrides_set_one_key(override: str, path: str, value: object) -> None:
    found: Any = config("train: {seed: 7}\n", overrides=(override,))
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value
    assert config("train: {seed: 7}\n", (override,)).train.seed == 7


def test_overrides_reach_class_ids_and_the_last_one_wins() -> None:
    twice = ("classes.2=road", "classes.2={name: street}", "train.seed=1", "train.seed=2")
    found = config(overrides=("classes.1.name=house", *twice))
    assert found.legend().names == ("background", "house", "street")
    assert found.train.seed == 2


def settings_of(spec: type[Spec], prefix: str = "") -> dict[str, Any]:
    """Every key of a spec with its field, section by section; the class table and the required keys have none."""
    out: dict[str, Any] = {}
    for name, field in spec.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Spec):
            out |= settings_of(field.annotation, f"{prefix}{name}.")
        elif not field.is_required() and name != "scenes":
            out[f"{prefix}{name}"] = field
    return out


def test_every_omitted_key_is_told_with_its_default_and_reason() -> None:
    every = settings_of(Config)
    least = build_config(parse_yaml("scenes: a\nclasses: {1: a}", "c.yaml"))
    told = {key: (default, reason) for key, default, reason in omitted(least)}
    assert set(told) == set(every)
    assert len(told) > 80
    for key, (default, reason) in told.items():
        assert default == every[key].default
        assert reason.strip(), key
        assert every[key].description.strip(), key


@given(st.sets(st.sampled_from(["train.seed=3", "sample.tile=64", "model.depth=2", "output=x", "bands.method=none"])))
def test_what_was_given_is_not_told_as_omitted(given_keys: set[str]) -> None:
    keys = {key for key, _, _ in omitted(config(overrides=tuple(given_keys)))}
    assert not keys & {text.split("=")[0] for text in given_keys}
    assert keys | {text.split("=")[0] for text in given_keys} == {*settings_of(Config)} - {"classes.field"}


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_the_schema_describes_every_key_of_a_section(section: str) -> None:
    schema = json_schema()
    definition = schema["$defs"][schema["properties"][section]["$ref"].rsplit("/", 1)[1]]
    spec = SECTIONS[section]
    assert set(definition["properties"]) == set(spec.model_fields) - {"table"}  # type: ignore[union-attr]
    assert definition["additionalProperties"] is False
    for key, value in definition["properties"].items():
        assert value["description"], key
        assert value["because"], key


def test_the_schema_is_json_and_knows_class_ids_durations_and_sizes() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert set(schema["properties"]) == set(Config.model_fields)
    assert schema["required"] == ["classes"]
    assert schema["title"] == "Swath config"
    classes = schema["$defs"]["ClassesSpec"]
    (pattern,) = classes["patternProperties"]
    assert pattern == r"^\d+$"
    assert {"type": "string"} in classes["patternProperties"][pattern]["anyOf"]
    assert "string" in classes["properties"]["ignore"]["type"]
    assert "string" in schema["$defs"]["ClassSpec"]["properties"]["source"]["type"]
    assert "string" in schema["$defs"]["TrainSpec"]["properties"]["budget"]["anyOf"][0]["type"]
    assert "string" in schema["$defs"]["PredictSpec"]["properties"]["memory"]["type"]


def test_the_schema_is_fresh_every_time() -> None:
    json_schema()["$defs"]["ClassesSpec"].clear()
    assert json_schema()["$defs"]["ClassesSpec"]["properties"]


def test_the_blends_of_the_config_are_those_of_the_table() -> None:
    assert set(get_args(SECTIONS["predict"].model_fields["blend"].annotation)) == set(BLENDS)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1 h 30 m", 5400), ("1.5h", 5400), ("2d", 172_800), (7, 7)],
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "10", "10x", "h10", "-5m", "1e3s", "5m!"])
def test_texts_that_are_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="write a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2 * 10**9), ("500mb", 5 * 10**8), ("1.5 k", 1500), ("12", 12), ("1TB", 10**12), (9, 9)]
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "2XB", "-1GB", "2 G B", "1e9"])
def test_texts_that_are_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="write a size"):
        parse_size(text)


def test_a_file_is_read_with_overrides_and_a_folder_refused(tmp_path: Path) -> None:
    file = tmp_path / "roofs.yaml"
    file.write_bytes(SHORT.encode())
    assert load_config(file, ["train.seed=4"]).train.seed == 4
    assert load_config(str(file)) == config()
    with pytest.raises(ConfigError, match="is a directory; name the YAML file"):
        load_config(tmp_path)
    with pytest.raises(ConfigError, match="cannot read the config"):
        load_config(tmp_path / "absent.yaml")
