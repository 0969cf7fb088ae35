"""YAML is read strictly: plain values with their places, nothing that surprises, nothing that explodes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.core.errors import ConfigError
from swath.yamltext import load_yaml, parse_value, parse_yaml

SCALARS = [
    ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("Yes", "Yes"), ("True", "True"), ("y", "y"),
    ("true", True), ("false", False), ("null", None), ("~", None), ("''", ""), ("'true'", "true"), ('"3"', "3"),
    ("010", 10), ("0", 0), ("-7", -7), ("+7", 7), ("1_000", 1000), ("0x10", "0x10"), ("0o17", "0o17"),
    ("1:30:15", "1:30:15"), ("9" * 5000, float("inf")),
    ("1e-3", 0.001), ("1E5", 1e5), ("-2.5", -2.5), (".5", 0.5), ("3.", 3.0), ("1.5e+2", 150.0), ("1e", "1e"),
    (".inf", ".inf"), (".nan", ".nan"), ("nan", "nan"), ("10m", "10m"), ("2GB", "2GB"), ("2024-01-02", "2024-01-02"),
    ("#efcd08", None), ("'#efcd08'", "#efcd08"), ("'>127'", ">127"), ("a b", "a b"), ("1.2.3", "1.2.3"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS, ids=[s[0][:20] for s in SCALARS])
def test_scalars_mean_what_they_look_like(text: str, value: object) -> None:
    found = parse_yaml(f"key: {text}", "c.yaml").value["key"]
    assert found == value
    assert type(found) is type(value)


def test_lists_maps_and_blocks() -> None:
    text = "a:\n  - 1\n  - {b: no, 3: [x, 1e-3]}\nc: |\n  two\n  lines\n'2': quoted\n2: plain\n"
    assert parse_yaml(text, "c.yaml").value == {
        "a": [1, {"b": "no", 3: ["x", 0.001]}], "c": "two\nlines\n", "2": "quoted", 2: "plain",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_text_has_no_value(text: str) -> None:
    assert parse_yaml(text, "c.yaml").value is None


def test_every_key_and_item_has_its_place() -> None:
    marked = parse_yaml("scenes: s.csv\ntrain:\n  lr: 1\n  list: [a, {b: 1}]\n", "c.yaml")
    assert marked.marks[("scenes",)] == (1, 1)
    assert marked.where(("train", "lr")) == "c.yaml:3:3"
    assert marked.where(("train", "list", 1, "b")) == "c.yaml:4:14"
    assert marked.where(("train", "absent", "deep")) == "c.yaml:2:1"
    assert marked.where(("absent",)) == "c.yaml"
    assert marked.where(()) == "c.yaml"


REFUSED = {
    "duplicate": ("a: 1\nb: 2\na: 3\n", "config-duplicate", "c.yaml:3:1", "the key 'a' stands twice"),
    "duplicate inside": ("t:\n  x: {lr: 1, lr: 2}", "config-duplicate", "c.yaml:2:14", "the key 'lr' stands twice"),
    "same number twice": ("c: {1: a, 01: b}", "config-duplicate", "c.yaml:1:11", "the key '1' stands twice"),
    "merge": ("a: &x {b: 1}\nc:\n  <<: *x", "config-key", "c.yaml:3:3", "plain word or number"),
    "list as key": ("? [a, b]\n: 1", "config-key", "c.yaml:1:3", "plain word or number"),
    "python object": ("a: !!python/object:os.system x", "config-tag", "c.yaml:1:1", "tag"),
    "python call": ("a: !!python/object/apply:os.system [ls]", "config-tag", "c.yaml:1:1", "tag"),
    "python map": ("a: !!python/dict {b: 1}", "config-tag", "c.yaml:1:1", "tag"),
    "own tag on a map": ("a: !mine {b: 1}", "config-tag", "c.yaml:1:1", "tag"),
    "own tag on a key": ("!mine a: 1", "config-tag", "c.yaml:1:1", "tag"),
    "set": ("a: !!set {b}", "config-tag", "c.yaml:1:1", "tag"),
    "binary": ("a: !!binary aGk=", "config-tag", "c.yaml:1:1", "tag"),
    "tabs": ("a:\n\tb: 1", "config-syntax", "c.yaml:2:1", "not valid YAML"),
    "open bracket": ("a: [1, 2\nb: 3", "config-syntax", "c.yaml:2:2", "not valid YAML"),
    "indentation": ("a:\n    b: 1\n  c: 2", "config-syntax", "c.yaml:3:3", "not valid YAML"),
    "open quote": ("a: 'x\nb: 1\n", "config-syntax", "c.yaml:3:1", "not valid YAML"),
    "unknown alias": ("a: *nobody", "config-syntax", "c.yaml:1:4", "undefined alias"),
    "two documents": ("a: 1\n---\nb: 2", "config-syntax", "c.yaml:2:1", "not valid YAML"),
    "colon in value": ("a: b: c", "config-syntax", "c.yaml:1:5", "not valid YAML"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_yaml_hides_is_refused_with_its_place(case: str) -> None:
    text, code, where, told = REFUSED[case]
    with pytest.raises(ConfigError) as error:
        parse_yaml(text, "c.yaml")
    assert (error.value.code, error.value.where) == (code, where)
    assert told in error.value.message
    assert error.value.fix
    assert error.value.exit_code == 2


def laughs(levels: int, width: int) -> str:
    """A text whose aliases stand for width ** levels values."""
    lines = ["a0: &a0 ha"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels + 1)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (laughs(9, 9), "config-aliases"),
        (laughs(10, 5), "config-size"),
        (laughs(25, 2), "config-size"),
        (laughs(10, 9).replace("a", "-a").replace("h-a", "ha"), "config-size"),
        ("a: &a [*a]", "config-depth"),
        ("a: &a {b: *a}", "config-depth"),
        ("[" * 40 + "]" * 40, "config-depth"),
        ("[" * 100_000, "config-depth"),
        ("".join(f"{' ' * n}k:\n" for n in range(200)), "config-depth"),
    ],
    ids=[
        "81-aliases",
        "50-aliases",
        "25-doublings",
        "odd-names",
        "itself",
        "itself-in-a-map",
        "40-deep",
        "endless",
        "blocks",
    ],
)
def test_texts_that_explode_are_refused(text: str, code: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_yaml(text, "bomb.yaml")
    assert error.value.code == code
    assert error.value.where.startswith("bomb.yaml")


def test_a_few_aliases_are_welcome() -> None:
    assert parse_yaml("a: &x [1, 2]\nb: *x", "c.yaml").value == {"a": [1, 2], "b": [1, 2]}


def test_files_are_read_or_the_reason_is_told(tmp_path: Path) -> None:
    good = tmp_path / "c.yaml"
    good.write_bytes("a: é\n".encode())
    assert load_yaml(good).value == {"a": "é"}
    assert load_yaml(good).where(("a",)) == f"{good}:1:1"
    for name, data, code in (
        ("latin.yaml", b"a: \xe9\n", "config-encoding"),
        ("big.yaml", b"#" * 1_000_001, "config-size"),
        ("nul.yaml", b"a: \x00\n", "config-syntax"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ConfigError) as error:
            load_yaml(tmp_path / name)
        assert error.value.code == code
        assert error.value.where.startswith(str(tmp_path / name))
    for absent in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot read the config"):
            load_yaml(absent)


def test_the_mark_of_an_editor_at_the_beginning_is_no_key(tmp_path: Path) -> None:
    file = tmp_path / "windows.yaml"
    file.write_bytes(b"\xef\xbb\xbfscenes: a.csv\r\n")
    assert load_yaml(file).value == {"scenes": "a.csv"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("1e-3", 0.001), ("", None), ("no", "no"), ("[a, 1]", ["a", 1]),
        ("{ce: 1, dice: 0.5}", {"ce": 1, "dice": 0.5}),
        ("a b", "a b"), ("'1'", "1"), ("C:\\maps\\a.tif", "C:\\maps\\a.tif"),
    ],
)  # fmt: skip
def test_the_right_side_of_an_override(text: str, value: object) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize("text", ["[a", "{a: 1", "*.tif", "@x", "a: b: c", "!!python/name:os.system x"])
def test_a_right_side_that_is_no_value_names_the_command_line(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_value(text)
    assert error.value.where.startswith("command line")
    assert error.value.exit_code == 2


plain = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text("abcXYZ _-.:#[]{}'\"é\n", max_size=12)
keys = st.text("abc", min_size=1)
trees = st.recursive(plain, lambda t: st.lists(t, max_size=4) | st.dictionaries(keys, t, max_size=4))


@given(trees)
def test_what_json_writes_is_read_back(tree: object) -> None:
    """JSON is YAML: every value that it can write comes back, quoted texts as texts."""
    assert parse_yaml(json.dumps({"key": tree}), "c.yaml").value == {"key": tree}


@settings(max_examples=60)
@given(st.text(max_size=40))
def test_any_text_is_a_value_or_a_config_error(text: str) -> None:
    problem = None
    try:
        parse_yaml(text, "c.yaml")
    except ConfigError as error:
        problem = error
    assert problem is None or problem.where.startswith("c.yaml")
