"""Writes what the docs take from the code: `python docs/generate.py`; a test compares the files with it.

docs/config.md is written whole, from the specs in swath.specs; in other pages what stands between `<!-- begin NAME -->`
and `<!-- end -->`: the tables of verbs and of functions.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import swath
from swath.cli import VERBS
from swath.commands import python_name
from swath.config import Config
from swath.disk.audits.audit import FINDINGS
from swath.importers.gdl_keys import GDL
from swath.importers.gdl_names import LOSSES, MODELS, OPTIMISERS, names_table
from swath.importers.nist_keys import NIST
from swath.importers.otb_keys import OTB
from swath.importers.report import markdown
from swath.importers.roof_keys import ROOF

DOCS = Path(__file__).parent
HEAD = """# The config

<!-- Written by docs/generate.py from swath/specs.py: change the text there. -->

A config is a YAML file. Two keys are enough:

```yaml
scenes: scenes.csv
classes: {field: class, 1: {name: roof, color: "#efcd08"}}
```

Everything below may be left out. What is left out has the default shown here, or is decided from the data (`auto`);
`swath train` prints every such setting with its reason and keeps them in `settings.json` of the run.

Any key can be set on the command line: `swath train roofs.yaml train.budget=10m sample.tile=256`. Lists and maps are
written as in YAML: `predict.save=[classes, confidence]`, `train.loss={ce: 1, dice: 0.5}`.

Unknown keys, keys that stand twice and values of the wrong kind are refused with file, line and column and the closest
known key. Only `true` and `false` are booleans (`no` is a text), `010` is 10, and `1e-3` is a number. Durations are
written `90s`, `10m` or `1h30m`, sizes `500MB` or `2GB`.

`swath schema` prints the JSON Schema of a config for editors that complete and check YAML.
"""
TOP = {
    "scenes": "path of a manifest relative to the config, or the rows themselves: see [manifest](manifest.md); "
    "may be left out for `swath train` with `train.store`",
    "classes": "the class table: see [classes](classes.md)",
    "output": None,
}
FURTHER = {
    "sources": "What sources are and how they are found: [sources](sources.md).",
    "model": "Networks and their options: [models](models.md).",
    "split": "The ways to split, and what splits may share: [splits](splits.md).",
    "train": "Losses, optimisers and schedules: [training](training.md).",
    "predict": "What margins do: [exactness](exactness.md).",
    "classes": "Beside these keys stands one entry per class id: [classes](classes.md).",
}


def pages() -> dict[Path, str]:
    """Every page that holds something of the code, with the text that it should have."""
    found = {DOCS / "config.md": config_page()}
    tables = {"verbs": (DOCS.parent / "README.md", verbs("docs/")), "pages": (DOCS / "index.md", verbs(""))}
    tables |= {"findings": (DOCS / "verbs" / "check.md", findings())}
    tables |= {"functions": (DOCS / "python.md", functions()), **coming_from()}
    for name, (page, table) in tables.items():
        parts = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        found[page] = parts.sub(lambda m, table=table: f"{m[1]}\n{table}\n\n{m[2]}", found.get(page) or page.read_text("utf-8"))
    return found


def coming_from() -> dict[str, tuple[Path, str]]:
    """The tables of what becomes of the keys of other systems, from the importers' own."""
    names = {"models": MODELS, "losses": LOSSES, "optimisers": OPTIMISERS}
    keys = {"gdl": GDL, "roof": ROOF, "otbtf": OTB, "nist": NIST}
    return {
        **{name: (DOCS / "from" / f"{name}.md", markdown(table)) for name, table in keys.items()},
        **{name: (DOCS / "from" / "gdl.md", names_table(table)) for name, table in names.items()},
    }


def verbs(prefix: str) -> str:
    """The table of verbs, with links to their pages."""
    rows = [f"| [`{name}`]({prefix}verbs/{name}.md) | {verb.result} |" for name, verb in VERBS.items()]
    return "\n".join(["| verb | its result |", "|---|---|", *rows])


def findings() -> str:
    """The table of all codes of findings."""
    return "\n".join(["| code | what it says |", "|---|---|", *(f"| `{c}` | {what} |" for c, what in FINDINGS.items())])


def functions() -> str:
    """The table of the verbs as functions, with their arguments."""
    rows = [f"| `swath.{python_name(n)}{_signature(n)}` | [{n}](verbs/{n}.md) |" for n in VERBS]
    return "\n".join(["| function | see |", "|---|---|", *rows])


def _signature(name: str) -> str:
    """The arguments with their defaults, without types."""
    found = inspect.signature(getattr(swath, python_name(name)))
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in found.parameters.values()]
    return str(inspect.Signature(bare)).replace("'", '"')


def config_page() -> str:
    """The whole page."""
    schema = Config.model_json_schema()
    parts = [HEAD, "## Top level\n", *_top(schema)]
    for name, field in schema["properties"].items():
        many = field.get("additionalProperties")  # a section of named entries
        reference = (many if isinstance(many, dict) else field).get("$ref", "")
        section = schema["$defs"].get(str(reference).rpartition("/")[2])
        if section is not None:
            prefix = f"{name}.NAME" if many else name
            parts += [f"\n## {name}\n", section["description"].strip(), *_further(name), "", *_table(prefix, section)]
    return "\n".join(parts) + "\n"


def _further(name: str) -> list[str]:
    return [FURTHER[name]] if name in FURTHER else []


def _top(schema: dict[str, Any]) -> Iterator[str]:
    yield "| key | what it is |"
    yield "|---|---|"
    for name, text in TOP.items():
        field = schema["properties"][name]
        yield f"| `{name}` | {text or _cell(field['description'] + '; default: ' + field['because'])} |"
    yield "| a section | one of " + ", ".join(f"[{n}](#{n})" for n in schema["properties"] if n not in TOP) + " |"


def _table(name: str, section: dict[str, Any]) -> Iterator[str]:
    yield "| key | values | default | meaning | why this default |"
    yield "|---|---|---|---|---|"
    for key, field in section["properties"].items():
        if key != "table":
            cells = (f"`{name}.{key}`", kind(field), _default(field), field["description"], field["because"])
            yield "| " + " | ".join(_cell(c) for c in cells) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def kind(field: dict[str, Any]) -> str:
    """What may be written, in words: `a number of 0 or more`, or the words of a choice."""
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(kind(f) for f in field["anyOf"] if f.get("type") != "null"))
    if "enum" in field:
        return ", ".join(f"`{v}`" for v in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if "$ref" in field:
        return "section"
    types = field["type"] if isinstance(field["type"], list) else [field["type"]]
    return " or ".join(_word(t, field) for t in types)


def _word(name: str, field: dict[str, Any]) -> str:
    if name == "array":
        items = field.get("items", {})
        return "a list" + (f" of {kind(items)}" if "enum" in items else "")
    if name == "object":
        return "a map"
    words = {"integer": "a whole number", "number": "a number", "string": "a text", "boolean": "`true`, `false`"}
    return words[name] + _limits(field)


def _limits(field: dict[str, Any]) -> str:
    low, high = field.get("minimum", field.get("exclusiveMinimum")), field.get("maximum", field.get("exclusiveMaximum"))
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}" if "maximum" in field else f" of {low:g} or more, below {high:g}"
    if low is not None:
        return f" of {low:g} or more" if "minimum" in field else f" above {low:g}"
    return ""


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    return "-" if value is None else f"`{value if isinstance(value, str) else json.dumps(value)}`"


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, "utf-8")
