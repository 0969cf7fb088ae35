"""The arguments of commands in shell scripts and of calls in Python scripts: read as text, never run."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.core.errors import ConfigError
from swath.importers.report import Computed

MAX_BYTES = 1_000_000
_FLAG = re.compile(r"^--?[A-Za-z]")
_SET = re.compile(r"^(?:export\s+)?([A-Za-z_]\w*)=(.*)$")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True)
class Argument:
    """One argument: the program or function it was for (empty: not said), its name, its value."""

    program: str
    name: str
    value: Any


def script_text(path: Path) -> str:
    """The text of a script. Raises ConfigError (import-kind)."""
    try:
        data = path.read_bytes()
        if len(data) > MAX_BYTES:
            raise ConfigError("import-kind", path, f"larger than {MAX_BYTES} bytes", "is this a script?")
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError("import-kind", path, f"cannot be read as text ({e})", "name a script of text") from e


def shell_arguments(path: Path) -> list[Argument]:
    """The arguments of every command in a shell script, or of a bare list of them, in order.

    Variables set by plain assignments are put in; a value with any other stays as text and is marked as computed.
    """
    variables: dict[str, str] = {}
    found: list[Argument] = []
    text = script_text(path).replace("\\\r\n", " ").replace("\\\n", " ")
    for number, line in enumerate(text.splitlines(), 1):
        set_here = _SET.match(line.strip())
        try:
            words = shlex.split(line, comments=True)
        except ValueError as e:
            raise ConfigError(
                "import-kind", f"{path}:{number}", f"quotes do not match ({e})", "correct the line"
            ) from e
        if set_here and len(words) <= 2:
            variables[set_here[1]] = _filled(words[-1].partition("=")[2], variables)
            continue
        for command in _commands(words):
            found += _arguments(command, variables)
    return found


def python_arguments(path: Path, functions: Mapping[str, Sequence[str]]) -> list[Argument]:
    """The arguments of calls to `functions`, and the parameters given to OTB applications, in order; those given without a
    name have the names that `functions` lists.

    Names of plain constants are put in; any other expression stays as text and is marked as computed.
    """
    try:
        tree = ast.parse(script_text(path))
    except (SyntaxError, ValueError, RecursionError) as e:
        raise ConfigError("import-kind", path, f"is no Python ({e})", "name a script of Python 3") from e
    constants: dict[str, Any] = {}
    apps: dict[str, str] = {}
    found: list[Argument] = []
    for node in _in_order(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name, app = node.targets[0].id, _application(node.value)
            if app:
                apps[name] = app
            else:
                constants[name] = _literal(node.value, constants)
        elif isinstance(node, ast.Call):
            found += _call(node, functions, constants, apps)
    return found


def _commands(words: list[str]) -> Iterator[list[str]]:
    """The words of each command of a line."""
    command: list[str] = []
    for word in words:
        bare = word.rstrip(";")
        if word in ("&&", "||", "|", ";", "&"):
            yield command
            command = []
        else:
            command.append(bare)
            if bare != word:
                yield command
                command = []
    yield command


def _arguments(words: list[str], variables: dict[str, str]) -> Iterator[Argument]:
    first = next((i for i, w in enumerate(words) if _FLAG.match(w)), None)
    if first is None:
        return
    programs = [w for w in words[:first] if w.endswith(".py") or w.startswith("otbcli")]
    program = Path(programs[-1]).name.removesuffix(".py").removeprefix("otbcli_") if programs else ""
    if program == "otbcli":
        program = words[first - 1]
    if words[:first] and not programs:
        return  # a command of the shell
    name, values = "", list[str]()
    for word in [*words[first:], "--end"]:
        if not _FLAG.match(word):
            values.append(_filled(word, variables))
            continue
        if name:
            yield Argument(program, name, True if not values else values[0] if len(values) == 1 else values)
        name, equals, value = word.lstrip("-").partition("=")
        values = [_filled(value, variables)] if equals else []


def _filled(text: str, variables: dict[str, str]) -> str:
    """The text with known variables put in; Computed where others are left."""
    filled = _VARIABLE.sub(lambda m: str(variables.get(m[1] or m[2], m[0])), text)
    return Computed(filled) if _VARIABLE.search(filled) or "$(" in filled or "`" in filled else filled


def _in_order(tree: ast.AST) -> list[ast.AST]:
    """The assignments and calls of a module as they stand in the text."""
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Assign | ast.Call)]
    return sorted(nodes, key=lambda n: (n.lineno, n.col_offset))  # type: ignore[attr-defined]


def _application(node: ast.expr) -> str | None:
    """The name in `otbApplication.Registry.CreateApplication("Name")`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "CreateApplication":
        named = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        return named[0] if named else None
    return None


def _call(
    node: ast.Call, functions: Mapping[str, Sequence[str]], constants: dict[str, Any], apps: dict[str, str]
) -> Iterator[Argument]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    owner = node.func.value.id if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) else ""
    given = [_literal(a, constants) for a in node.args]
    if owner in apps and name.startswith("SetParameter") and len(given) > 1:
        yield Argument(apps[owner], str(given[0]), given[1])
    elif owner in apps and name == "EnableParameter" and given:
        yield Argument(apps[owner], str(given[0]), True)
    elif owner == "pyotb":
        for values in (a for a in given if isinstance(a, dict)):
            yield from (Argument(name, str(k), v) for k, v in values.items())
        yield from (Argument(name, k.arg, _literal(k.value, constants)) for k in node.keywords if k.arg)
    elif name in functions:
        yield from (Argument(name, k, v) for k, v in zip(functions[name], given, strict=False))
        yield from (Argument(name, k.arg, _literal(k.value, constants)) for k in node.keywords if k.arg)


def _literal(node: ast.expr, constants: dict[str, Any]) -> Any:
    if isinstance(node, ast.Name) and node.id in constants:
        return constants[node.id]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return Computed(ast.unparse(node))
