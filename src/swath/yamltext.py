"""YAML text -> plain values, with the line and column of every key; strict where YAML surprises.

Duplicate keys, tags, merges, more than 50 aliases and more than 100,000 values are refused; only true and false are
booleans; 010 is 10 and 1e-3 a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from swath.core.errors import ConfigError

_MAX_BYTES, _MAX_ALIASES, _MAX_DEPTH, _MAX_VALUES = 1_000_000, 50, 30, 100_000
_INT = re.compile(r"^[-+]?\d[\d_]{0,99}$")
_FLOAT = re.compile(r"^[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?$")
Key = tuple[Any, ...]
COMMAND_LINE = (0, 0)  # the place of an override


@dataclass
class Marked:
    """A value with the places of its keys: `marks[("train", "lr")]` is (line, column), both 1-based.

    Overrides have the place COMMAND_LINE. `twice` is None, or takes the keys that stand twice, of which the last counts.
    """

    value: Any
    source: str
    marks: dict[Key, tuple[int, int]] = field(default_factory=dict)
    twice: list[Key] | None = None

    def where(self, key: Key) -> str:
        """`file:line:column` of a key, or of the nearest key above it."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.marks:
                line, column = self.marks[key[:length]]
                return f"{self.source}:{line}:{column}" if (line, column) != COMMAND_LINE else "command line"
        return self.source


def load_yaml(path: Path, *, twice: bool = False) -> Marked:
    """The values of a YAML file; `twice` lets keys of foreign files stand twice. Raises ConfigError with the place."""
    try:
        data = path.read_bytes()
    except OSError as e:
        raise ConfigError("config-missing", path, f"cannot read the config ({e.strerror})", "check the path") from e
    if len(data) > _MAX_BYTES:
        raise ConfigError("config-size", path, f"larger than {_MAX_BYTES} bytes", "is this a config?")
    try:
        text = data.decode()
    except UnicodeDecodeError as e:
        raise ConfigError("config-encoding", path, f"not UTF-8 text at byte {e.start}", "save it as UTF-8") from e
    return parse_yaml(text, str(path), twice=twice)


def parse_yaml(text: str, source: str, *, twice: bool = False) -> Marked:
    """The values of YAML text; `source` names it in errors."""
    if text.count("*") and len(re.findall(r"(?<![\w])\*\w+", text)) > _MAX_ALIASES:
        raise ConfigError("config-aliases", source, f"more than {_MAX_ALIASES} aliases", "write the values out")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        problem = getattr(e, "problem", None) or str(e)
        raise ConfigError("config-syntax", where, f"not valid YAML ({problem})", "check indentation and quotes") from e
    except RecursionError as e:
        raise ConfigError("config-depth", source, "nested too deeply", "flatten it") from e
    marked = Marked(None, source, twice=[] if twice else None)
    marked.value = _construct(root, (), marked) if root is not None else None
    return marked


def parse_value(text: str) -> Any:
    """The value of an override's right side: a scalar, [list] or {map} in YAML's flow style."""
    return parse_yaml(text, "command line").value


def _construct(node: yaml.Node, key: Key, marked: Marked) -> Any:
    if len(key) > _MAX_DEPTH:
        raise ConfigError("config-depth", marked.where(key), "nested too deeply", "flatten it")
    if len(marked.marks) > _MAX_VALUES:
        raise ConfigError("config-size", marked.where(key), f"more than {_MAX_VALUES} values", "write fewer aliases")
    if node.tag not in _PLAIN_TAGS:
        raise ConfigError("config-tag", marked.where(key), f"the tag {node.tag} is not allowed", "write a plain value")
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, key, marked)
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            marked.marks[(*key, i)] = _place(item)
        return [_construct(item, (*key, i), marked) for i, item in enumerate(node.value)]
    assert isinstance(node, yaml.ScalarNode)
    return _scalar(node)


def _mapping(node: yaml.MappingNode, key: Key, marked: Marked) -> dict[Any, Any]:
    out: dict[Any, Any] = {}
    for name_node, value_node in node.value:
        line, column = _place(name_node)
        where = f"{marked.source}:{line}:{column}"
        if not isinstance(name_node, yaml.ScalarNode) or name_node.value == "<<":
            raise ConfigError("config-key", where, "a key must be a plain word or number", "write the keys out")
        if name_node.tag not in _PLAIN_TAGS:
            raise ConfigError("config-tag", where, f"the tag {name_node.tag} is not allowed", "write a plain key")
        name = _scalar(name_node)
        if name in out and marked.twice is not None:
            marked.twice.append((*key, name))
        elif name in out:
            raise ConfigError("config-duplicate", where, f"the key '{name}' stands twice", "keep one of them")
        marked.marks[(*key, name)] = (line, column)
        out[name] = _construct(value_node, (*key, name), marked)
    return out


_PLAIN_TAGS = {f"tag:yaml.org,2002:{t}" for t in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq")}


def _scalar(node: yaml.ScalarNode) -> Any:
    text = node.value
    if node.style is not None:
        return text
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INT.match(text):
        return int(text.replace("_", ""))
    if _FLOAT.match(text):
        return float(text.replace("_", ""))
    return text


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
