"""Pipelines that a YAML file declares: verbs with their arguments, one after the other, each skipped where it is done.

    steps:
      - chip: {images: imagery, out: chips, size: 640}
      - mask: {images: chips, labels: roofs.gpkg, config: roofs.yaml, out: masks}
      - train: {config: roofs.yaml, settings: [train.budget=10m]}
"""

from __future__ import annotations

import glob
import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from swath.core.errors import ConfigError, DataError, SwathError, did_you_mean
from swath.disk.projects.project import load_project
from swath.disk.publish import make_directory, publish_json
from swath.disk.sources.stamp import file_stamp
from swath.messages import say
from swath.yamltext import Marked, load_yaml

OUTPUTS = ("out", "statistics", "faults")  # arguments that name what a step makes
SECTIONS = ("sources", "bands", "labels", "split", "sample", "classes", "model", "augment", "train", "predict", "vectorize")


@dataclass(frozen=True)
class Step:
    """One declared step: its name, its verb with the function, and its arguments."""

    name: str
    verb: str
    function: Callable[..., Any]
    arguments: Mapping[str, Any]


def is_declared(path: Path) -> bool:
    """True for a YAML file with the key `steps`. Raises ConfigError for one that cannot be read."""
    value = load_yaml(path).value
    return isinstance(value, dict) and "steps" in value


def run_declared(
    path: str | Path, verbs: Mapping[str, Callable[..., Any]], *, start: str | None = None, only: Sequence[str] = (), overwrite: bool = False
) -> dict[str, Any]:
    """Every step of a declared pipeline, done by the functions of `verbs`: `steps` [{name, verb, executed, result}], `executed` names.

    A step is skipped where its arguments and the content of its inputs are as they were, and its output is as it was
    left. `start` makes that step and all later ones anew, `only` some alone. Paths are relative to the file.
    Raises ConfigError for steps and arguments that there are not, and what the verbs raise; steps before are kept.
    """
    path = Path(path).absolute()
    steps = read_steps(load_yaml(path), verbs)
    names = [s.name for s in steps]
    for word in [*([start] if start else []), *only]:
        if word not in names:
            raise ConfigError("step-unknown", word, f"no step '{word}'", did_you_mean(word, names))
    marks = path.parent / "runs" / path.stem / "steps.json"
    done = json.loads(marks.read_text("utf-8")) if marks.exists() else {}
    found = []
    with chdir(path.parent):
        for n, step in enumerate(steps):
            if only and step.name not in only:
                continue
            anew = overwrite or bool(only) or (start is not None and n >= names.index(start))
            key = _key(step)
            if not anew and _is_done(step, key, done.get(step.name)):
                say(f"{step.name}: done before")
                found.append({"name": step.name, "verb": step.verb, "executed": False, "result": done[step.name]["result"]})
                continue
            say(f"{step.name} ...")
            result = _call(step, again=anew or step.name in done)
            if result.get("ok") is False:
                raise DataError("step-failed", step.name, f"{step.verb} found errors", f"look at them: swath {step.verb} ...")
            make_directory(marks.parent)
            done[step.name] = {"key": key, "made": _made(step), "result": result}
            publish_json(marks, done)
            found.append({"name": step.name, "verb": step.verb, "executed": True, "result": result})
    return {"pipeline": str(path), "steps": found, "executed": [s["name"] for s in found if s["executed"]]}


def read_steps(marked: Marked, verbs: Mapping[str, Callable[..., Any]]) -> list[Step]:
    """The steps of parsed text. Raises ConfigError with the place."""
    value = marked.value
    unknown = [k for k in value if k != "steps"]
    if unknown:
        raise ConfigError("config-unknown-key", marked.where((unknown[0],)), f"unknown key '{unknown[0]}'",
                          "a pipeline holds `steps` alone; name a config inside of them")  # fmt: skip
    listed = value["steps"]
    if not isinstance(listed, list) or not listed:
        raise ConfigError("steps-empty", marked.where(("steps",)), "`steps` lists nothing", "write - VERB: {argument: value}")
    steps: list[Step] = []
    for n, entry in enumerate(listed):
        step = _step(entry, marked.where(("steps", n)), verbs)
        often = 0 if "name" in entry else sum(s.verb == step.verb for s in steps)
        steps.append(step if not often else replace(step, name=f"{step.name}_{often + 1}"))
    twice = [s.name for s in steps if [t.name for t in steps].count(s.name) > 1]
    if twice:
        raise ConfigError("step-twice", marked.where(("steps",)), f"two steps are named '{twice[0]}'", "name them apart")
    return steps


def _step(entry: Any, where: str, verbs: Mapping[str, Callable[..., Any]]) -> Step:
    words = [k for k in entry if k != "name"] if isinstance(entry, dict) else []
    if len(words) != 1 or not isinstance(entry[words[0]], dict):
        raise ConfigError("step-form", where, "a step is one verb with its arguments", "write - VERB: {argument: value}")
    verb = str(words[0])
    if verb not in verbs:
        raise ConfigError("verb-unknown", where, f"no verb '{verb}'", did_you_mean(verb, verbs))
    step = Step(str(entry.get("name", verb)), verb, verbs[verb], entry[verb])
    known = {p.name: p for p in inspect.signature(step.function).parameters.values()}
    takes = [("settings" if n == "overrides" else n) for n in known]
    for name in step.arguments:
        if name not in takes:
            raise ConfigError("step-argument", where, f"{verb} has no argument '{name}'", did_you_mean(str(name), takes))
    missing = [n for n, p in known.items() if p.default is p.empty and p.kind is not p.VAR_POSITIONAL and n not in step.arguments]
    if missing:
        raise ConfigError("step-argument", where, f"{verb} lacks the argument '{missing[0]}'", f"it takes {', '.join(takes)}")
    return step


def _call(step: Step, *, again: bool) -> dict[str, Any]:
    """The verb's result; what the step itself made before is replaced."""
    parameters = inspect.signature(step.function).parameters
    given = {("overrides" if k == "settings" else k): v for k, v in step.arguments.items()}
    if again and "overwrite" in parameters:
        given.setdefault("overwrite", True)
    words: list[Any] = []
    options: dict[str, Any] = {}
    for name, p in parameters.items():
        if p.kind is p.VAR_POSITIONAL:
            listed = given.get(name, [])
            words += [listed] if isinstance(listed, str) else list(listed)
        elif p.kind is p.POSITIONAL_OR_KEYWORD:
            words.append(given.get(name, p.default))
        elif name in given:
            options[name] = given[name]
    result: dict[str, Any] = step.function(*words, **options)
    return result


def _key(step: Step) -> str:
    """A hash of a step's verb, arguments and the content of the files that they name."""
    inputs = [(text, _stamp(text)) for k, v in sorted(step.arguments.items()) if k not in OUTPUTS for text in _texts(v)]
    told = json.dumps([step.verb, step.arguments, inputs], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _is_done(step: Step, key: str, mark: Mapping[str, Any] | None) -> bool:
    return mark is not None and mark["key"] == key and mark["made"] == _made(step)


def _made(step: Step) -> list[str | None]:
    """The stamps of what a step makes; of verbs without an output of their own, nothing."""
    return [_stamp(str(step.arguments[k])) for k in OUTPUTS if k in step.arguments]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def _stamp(text: str) -> str | None:
    """The stamp of the files that a text names: one, a folder's, those of a pattern; None where it names none.

    A config counts with all its inputs.
    """
    path = Path(text)
    if path.is_file():
        return f"{file_stamp(path)} {_inputs(path)}" if path.suffix.lower() in (".yaml", ".yml") else file_stamp(path)
    inside = path.rglob("*") if path.is_dir() else map(Path, glob.glob(text) if any(c in text for c in "*?[") else [])
    files = sorted(p for p in inside if p.is_file())
    if not files:
        return None
    return hashlib.sha256(repr([(str(p), file_stamp(p)) for p in files]).encode()).hexdigest()[:16]


def _inputs(config: Path) -> str:
    """The fingerprint of a config's inputs; empty for one that holds no scenes, or that cannot be opened yet."""
    try:
        return load_project(config).fingerprint(*SECTIONS)
    except SwathError:
        return ""
