"""The docs name everything that there is, their links lead somewhere, and what they show is true."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import swath
from swath.cli import VERBS, main, parser, separated
from swath.config import Config, build_config
from swath.core.blend import BLENDS
from swath.core.errors import ConfigError, DataError, QualityError, ResourceError, SwathError
from swath.core.samplers import SAMPLERS
from swath.nets.losses import LOSSES
from swath.nets.optimisers import OPTIMISERS, SCHEDULES
from swath.nets.zoo import ZOO
from swath.specs import SourceSpec, Spec
from swath.yamltext import parse_yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(p for p in DOCS.rglob("*.md") if "decisions" not in p.parts and p.name != "design.md")]
NAMES = [str(p.relative_to(ROOT)) for p in PAGES]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """(page:number, text) of every fenced block of a language."""
    for page, name in zip(PAGES, NAMES, strict=True):
        for n, (kind, text) in enumerate(FENCE.findall(page.read_text())):
            if kind == language:
                yield f"{name}:{n}", text


def commands() -> list[tuple[str, str]]:
    """(page, command) of every line that shows a call of swath."""
    found = []
    for page, name in zip(PAGES, NAMES, strict=True):
        for line in page.read_text().splitlines():
            shown = re.match(r"^(?:\$ |    (?:\$ )?)(swath [a-z][^#>]*)", line)
            if shown and not re.search(r"[A-Z]{3}", shown[1]):
                found.append((name, shown[1].strip()))
    return found


def keys(spec: type[Spec], prefix: str = "") -> Iterator[str]:
    for name, field in spec.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Spec):
            yield from keys(field.annotation, f"{prefix}{name}.")
        elif name == "sources":
            yield from keys(SourceSpec, "sources.NAME.")
        elif name != "table":
            yield f"{prefix}{name}"


def slug(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.strip().lower()).replace(" ", "-")


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATED = ["README.md", "docs/config.md", "docs/index.md", "docs/python.md",
             *(f"docs/from/{name}.md" for name in ("gdl", "roof", "otbtf", "nist"))]  # fmt: skip


@pytest.mark.parametrize("page", GENERATED)
def test_what_comes_from_the_code_is_up_to_date(page: str) -> None:
    written = {str(p.relative_to(ROOT)): text for p, text in generator().pages().items()}
    assert (ROOT / page).read_text() == written[page], "run: python docs/generate.py"


def test_every_key_has_its_row() -> None:
    page = (DOCS / "config.md").read_text()
    found = list(keys(Config))
    assert len(found) > 80
    missing = [key for key in found if f"| `{key}` |" not in page]
    assert missing == []


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_a_page_that_begins_with_its_result(name: str) -> None:
    text = (DOCS / "verbs" / f"{name}.md").read_text()
    assert text.startswith(f"# swath {name}\n\nThe result of `swath {name}` ")
    assert f"$ swath {name} " in text


@pytest.mark.parametrize("name", VERBS)
def test_every_option_of_a_verb_is_on_its_page(name: str) -> None:
    text = (DOCS / "verbs" / f"{name}.md").read_text()
    everywhere = {"--help", "--json", "--quiet", "--debug"}
    options = {o for a in parser(name)._actions for o in a.option_strings if o.startswith("--")} - everywhere
    assert [o for o in options if o not in text] == []


@pytest.mark.parametrize("name", VERBS)
def test_every_option_on_the_page_of_a_verb_is_there(name: str) -> None:
    """With every word that it may take; options of other verbs stand behind their name."""
    text = (DOCS / "verbs" / f"{name}.md").read_text("utf-8")
    own = re.sub(rf"swath (?!{name}\b)[a-z]+ [^`\n]*", "", text)
    options = {o: a for a in parser(name)._actions for o in a.option_strings}
    assert {o for o in re.findall(r"(?<![\w-])--[a-z][a-z-]*", own) if o not in options} == set()
    words = [str(word) for action in options.values() for word in action.choices or ()]
    assert [word for word in words if f"`{word}`" not in text] == []


@pytest.mark.parametrize("name", [v for v in VERBS if v != "demo"])  # which needs no argument, and would run
def test_the_help_speaks_of_settings_where_there_are_some(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = "section.key=value" in parser(name).format_help()
    assert main([name, "runtime.threads=1", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == ("usage" if told else "override")


@pytest.mark.parametrize(
    ("page", "table"),
    [
        ("models.md", ZOO), ("training.md", LOSSES), ("training.md", OPTIMISERS), ("training.md", SCHEDULES),
        ("exactness.md", BLENDS), ("store.md", SAMPLERS),
    ],
)
def test_every_name_of_a_table_is_told(page: str, table: dict[str, object]) -> None:
    text = (DOCS / page).read_text()
    assert [name for name in table if f"| `{name}` |" not in text] == []


def test_the_exit_codes_are_those_of_the_errors() -> None:
    text = (DOCS / "errors.md").read_text()
    for error in (SwathError, ConfigError, DataError, QualityError, ResourceError):
        assert f"| {error.exit_code} | `{error.__name__}` |" in text


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)]+)\)", FENCE.sub("", page.read_text())):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and anchor not in {slug(h) for h in re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)}):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_pages_name_no_machine(page: Path) -> None:
    assert re.findall(r"/(?:tmp|root|work|home)/\S*|@@\w*", page.read_text()) == []


@pytest.mark.parametrize(("page", "command"), commands())
def test_shown_commands_are_understood(page: str, command: str) -> None:
    name, *words = shlex.split(command)[1:]
    settings, others = separated(words)
    parser(name).parse_args(others)
    for text in settings:
        build_config(parse_yaml("scenes: s.csv\nclasses: {1: roof}\ntrain: {steps: 1}", page), [text])


@pytest.mark.parametrize(("where", "text"), list(blocks("yaml")))
def test_shown_configs_are_valid(where: str, text: str) -> None:
    head = "" if re.search(r"^scenes:", text, re.MULTILINE) else "scenes: scenes.csv\n"
    head += "" if re.search(r"^classes:", text, re.MULTILINE) else "classes: {1: roof}\n"
    assert len(build_config(parse_yaml(head + text, where)).legend()) >= 2


@pytest.mark.parametrize(("page", "name"), list(zip(PAGES, NAMES, strict=True)), ids=NAMES)
def test_settings_that_are_spoken_of_are_there(page: Path, name: str) -> None:
    """`section.key`, and `section.key=value` with a value that it takes; what older systems call theirs is not ours."""
    codes = [] if "from" in page.parts else re.findall(r"`([a-z]+\.[a-z_0-9.]+)(?:(?:=|: )([^`]*))?`", FENCE.sub("", page.read_text("utf-8")))
    known = set(keys(Config))
    for key, value in codes:
        section, _, option = key.partition(".")
        if section not in Config.model_fields or section in ("classes", "sources") or option in ("json", "py"):
            continue
        assert key in known or key.rpartition(".")[0] in known, key
        if value and not re.search(r"[A-Z]|\.\.\.", value):
            build_config(parse_yaml("scenes: s.csv\nclasses: {1: roof}\ntrain: {steps: 1}", name), [f"{key}={value}"])


@pytest.mark.parametrize(("where", "text"), list(blocks("python")))
def test_shown_python_calls_what_there_is(where: str, text: str) -> None:
    """Names of swath are there, and take the arguments that they are shown with."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "swath":
            assert hasattr(swath, node.attr)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("swath."):
            named = {str(k.arg): None for k in node.keywords}
            inspect.signature(getattr(swath, node.func.attr)).bind(*node.args, **named)


@pytest.mark.parametrize(("where", "text"), [b for b in blocks("python") if "assert" in b[1]])
def test_shown_python_runs(where: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(text, where, "exec"), {})


def test_cheap_commands_of_the_readme_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "swath run roofs.yaml" in capsys.readouterr().out
    assert main(["schema"]) == 0
    assert '"Swath config"' in capsys.readouterr().out


def test_every_product_of_predict_is_told() -> None:
    text = (DOCS / "verbs" / "predict.md").read_text()
    for word in ("classes", "probabilities", "confidence"):
        assert f"`{word}`" in text
