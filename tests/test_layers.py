"""The rules of the house that the source text can prove: levels, torch-free parts, nothing unsafe, one way to write.

The checker reads the syntax tree of every module, imports inside functions included. A write that is no output of its
own (an append-only journal, a helper that is handed a temporary) says so on its line: `# publish: the reason`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "swath"

LEVELS = {
    "core": 0, "yamltext": 1, "specs": 1, "config": 1, "messages": 1, "progress": 1, "disk": 2, "nets": 3, "engines": 4,
    "steps": 5, "importers": 6, "pipeline": 7, "api": 8, "declared": 8, "commands": 8, "cli_tools": 8, "cli": 8, "__init__": 8, "__main__": 8,
}  # fmt: skip
FOLDERS = (  # of disk/, from below; what lies in disk/ itself may use all of them, and publish.py and readahead.py stand below
    "remote", "rasters", "vectors", "stores", "formats", "town", "sources", "scenes", "projects", "samples", "audits",
)  # fmt: skip
BANNED_IN = {
    "core": {"torch", "rasterio", "pyogrio", "pydantic", "onnxruntime", "sklearn", "rich"},
    "yamltext": {"torch", "rasterio", "pyogrio"},
    "config": {"torch", "rasterio", "pyogrio"},
    "disk": {"torch"},
}
IMPORTERS = {"import_module", "importlib.import_module", "__import__"}
BANNED_EVERYWHERE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "imp"}
BANNED_CALLS = {
    "eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "torch.load", "os.system", "os.popen",
}  # fmt: skip
BANNED_SETTINGS = {"shell=True", "allow_pickle=True", "weights_only=False"}
SAVERS = {"np.save": 0, "np.savez": 0, "np.savez_compressed": 0, "torch.save": 1, "save_file": 1}
Found = Iterator[tuple[int, str]]


def violations(sources: dict[str, str]) -> list[str]:
    """`path:line: what` for every broken rule of a tree of modules, given as path below `swath/` -> source text."""
    verbs = {Path(p).stem for p, text in sources.items() if p.startswith("steps/") and _is_verb(p, text)}
    found = []
    for path, text in sorted(sources.items()):
        tree = ast.parse(text)
        lines = text.splitlines()
        problems = [*_imports(path, tree, verbs), *_folders(path, tree), *_unsafe(tree), *_handlers(path, tree)]
        if path != "disk/publish.py":
            problems += [(n, w) for n, w in _writes(tree) if "# publish: " not in lines[n - 1]]
        found += [f"{path}:{line}: {what}" for line, what in sorted(problems)]
    return found


def _is_verb(path: str, text: str) -> bool:
    """True for a step: `steps/train.py` defines `train` (or `import_` where the word is taken)."""
    names = {node.name.rstrip("_") for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    return Path(path).stem.rstrip("_") in names


def _part_of(module: str) -> str:
    """The level's name of a path or dotted name below swath: its first part."""
    return module.replace(".py", "").replace("/", ".").split(".")[0]


def _imports(path: str, tree: ast.Module, verbs: set[str]) -> Found:
    here = _part_of(path)
    if here not in LEVELS:
        yield 1, f"'{here}' has no level: give it one in LEVELS"
        return
    for line, name in _imported(tree):
        top, _, rest = name.partition(".")
        if top in BANNED_EVERYWHERE or top in BANNED_IN.get(here, ()):
            yield line, f"imports {top}"
        if top == "" or (top == "swath" and _part_of(rest) not in LEVELS and rest not in ("", "__version__")):
            yield line, f"imports {name or 'relatively'}: name the module"
        elif top == "swath" and rest and rest != "__version__" and LEVELS[_part_of(rest)] > LEVELS[here]:
            yield line, f"imports {name} from a higher level"
        parts = rest.split(".")
        if here == parts[0] == "steps" and len(parts) > 1 and parts[1] in verbs - {Path(path).stem}:
            yield line, f"imports the step {name}"


def _folders(path: str, tree: ast.Module) -> Found:
    """Within `disk/` a folder uses only the folders below it."""
    level, folder, *_ = (*Path(path).parts, "")
    if level != "disk" or folder.endswith(".py"):
        return
    if folder not in FOLDERS:
        yield 1, f"'disk/{folder}' has no place: give it one in FOLDERS"
        return
    for line, name in _imported(tree):
        other = name.removeprefix("swath.disk.").split(".")[0]
        if name.startswith("swath.disk.") and other in FOLDERS and FOLDERS.index(other) > FOLDERS.index(folder):
            yield line, f"imports {name} from a higher folder"


def _imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all imports, wherever they stand; '' for a relative one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = "" if node.level else node.module or ""
            names = [f"{package}.{a.name}" for a in node.names] if package in ("swath", "swath.steps") else [package]
            yield from ((node.lineno, name) for name in names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in IMPORTERS:
            yield from ((node.lineno, str(a.value)) for a in node.args[:1] if isinstance(a, ast.Constant))


def _unsafe(tree: ast.Module) -> Found:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in BANNED_CALLS:
                yield node.lineno, f"calls {name}("
            if _in_any_encoding(node):
                yield node.lineno, "leaves the encoding to the machine's locale"
            passed = {f"{k.arg}={ast.unparse(k.value)}" for k in node.keywords}
            yield from ((node.lineno, f"passes {setting}") for setting in sorted(passed & BANNED_SETTINGS))


def _in_any_encoding(call: ast.Call) -> bool:
    """True where a file is read or written as text without an encoding."""
    of_path = isinstance(call.func, ast.Attribute)
    name = call.func.attr if of_path else ast.unparse(call.func)
    if any(k.arg == "encoding" for k in call.keywords):
        return False
    if of_path and name in ("read_text", "write_text"):
        return len(call.args) < (1 if name == "read_text" else 2)
    modes = [k.value for k in call.keywords if k.arg == "mode"] or call.args[0 if of_path else 1 :][:1]
    as_text = all(isinstance(m, ast.Constant) and str(m.value).strip("rwxat+") == "" for m in modes)
    return name == "open" and (as_text if modes else not of_path or not call.args)


def _handlers(path: str, tree: ast.Module) -> Found:
    broad = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            names = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"everything"}
            reraised = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if names & {"everything", "Exception"} or ("BaseException" in names and not reraised):
                broad.append(node.lineno)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("suppress", "contextlib.suppress"):
            broad += [node.lineno for a in node.args if ast.unparse(a) in ("Exception", "BaseException")]
    allowed = 1 if path == "cli.py" else 0
    yield from ((line, "catches everything") for line in broad[allowed:])


def _writes(tree: ast.Module) -> Found:
    files = set(_files_of_parts(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            target = _written(node)
            if target is not None and _root(target) not in {"part", *files}:
                yield node.lineno, f"writes {ast.unparse(target)} past publish"


def _files_of_parts(tree: ast.Module) -> Iterator[str]:
    """Names of files opened on a temporary, and of buffers in memory."""
    for node in ast.walk(tree):
        if isinstance(node, ast.With):
            for item in node.items:
                if isinstance(item.optional_vars, ast.Name) and _root(item.context_expr) == "part":
                    yield item.optional_vars.id
        elif isinstance(node, ast.Assign) and ast.unparse(node.value) in ("io.BytesIO()", "BytesIO()"):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _written(call: ast.Call) -> ast.expr | None:
    """What a call writes to, or None where it writes nothing; appending is a log's way and allowed."""
    name = ast.unparse(call.func)
    if isinstance(call.func, ast.Attribute) and call.func.attr in ("write_text", "write_bytes"):
        return call.func.value
    saver = SAVERS.get(name, SAVERS.get(name.rsplit(".", 1)[-1]))
    if saver is not None:
        return call.args[saver] if len(call.args) > saver else call.keywords[0].value
    if name.rsplit(".", 1)[-1] not in ("open", "ZipFile", "memmap") or not (call.args or call.keywords):
        return None
    modes = [k.value for k in call.keywords if k.arg == "mode"] + call.args[:3]
    is_writing = any(_is_mode(c) for mode in modes for c in ast.walk(mode))
    if not is_writing:
        return None
    of_path = isinstance(call.func, ast.Attribute) and (
        not call.args or any(_is_mode(c) for c in ast.walk(call.args[0]))
    )
    return call.func.value if of_path and isinstance(call.func, ast.Attribute) else call.args[0]


def _is_mode(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and 0 < len(node.value) <= 3
        and set(node.value) <= set("rwxabt+")
        and bool(set(node.value) & set("wx+"))
    )


def _root(node: ast.expr) -> str | None:
    """The name that an expression of paths begins with: `part` for `Path(part) / "a"`, `f"{part}.x"`, `part.open()`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call):
        wraps = isinstance(node.func, ast.Name) and node.func.id in ("str", "Path", "open", "ZipFile")
        wraps = wraps or ast.unparse(node.func) in ("rasterio.open", "zipfile.ZipFile", "gzip.open")
        return _root(node.args[0]) if wraps and node.args else _root(node.func)
    if isinstance(node, ast.Attribute | ast.Subscript | ast.FormattedValue):
        return "part" if isinstance(node, ast.Attribute) and node.attr == "part" else _root(node.value)
    if isinstance(node, ast.BinOp):
        return _root(node.left)
    return _root(node.values[0]) if isinstance(node, ast.JoinedStr) and node.values else None


def test_the_source_keeps_the_rules() -> None:
    sources = {p.relative_to(SOURCE).as_posix(): p.read_text("utf-8") for p in SOURCE.rglob("*.py")}
    assert len(sources) > 30
    assert violations(sources) == []


STEPS = {"steps/train.py": "def train(): ...", "steps/shared.py": "def helper(): ..."}

BAD = {
    "core/a.py": [
        ("import torch", "imports torch"),
        ("def f():\n    from rasterio.windows import Window", "imports rasterio"),
        ("import pyogrio.raw", "imports pyogrio"),
        ("from pydantic import BaseModel", "imports pydantic"),
        ("from swath.disk.rasters.raster import raster_info", "from a higher level"),
        ("def f():\n    import swath.config", "from a higher level"),
        ("from swath import disk", "from a higher level"),
        ("from importlib import import_module\nimport_module('swath.nets')", "from a higher level"),
        ("from .windows import Window", "relatively"),
        ("from swath import train", "name the module"),
        ("if True:\n    import pickle", "imports pickle"),
    ],
    "disk/a.py": [
        ("import torch.nn as nn", "imports torch"),
        ("from swath.nets.zoo import unet", "from a higher level"),
        ("from joblib import load", "imports joblib"),
        ("eval('1')", "calls eval("),
        ("exec(text)", "calls exec("),
        ("import yaml\nyaml.load(text, Loader=L)", "calls yaml.load("),
        ("os.system('ls')", "calls os.system("),
        ("subprocess.run('ls', shell=True)", "passes shell=True"),
        ("np.load(path, allow_pickle=True)", "passes allow_pickle=True"),
        ("try:\n    f()\nexcept:\n    pass", "catches everything"),
        ("try:\n    f()\nexcept Exception as e:\n    raise", "catches everything"),
        ("try:\n    f()\nexcept (OSError, Exception):\n    pass", "catches everything"),
        ("try:\n    f()\nexcept BaseException:\n    pass", "catches everything"),
        ("with suppress(Exception):\n    f()", "catches everything"),
        ("open(path, 'wb')", "writes path past publish"),
        ("open(path, mode='wb')", "writes path past publish"),
        ("path.open('r+b' if there else 'w+b')", "writes path past publish"),
        ("Path(folder).joinpath('a').open('xb')", "past publish"),
        ("rasterio.open(path, 'w', driver='GTiff')", "writes path past publish"),
        ("zipfile.ZipFile(path, 'w')", "writes path past publish"),
        ("(folder / 'a.txt').write_text('a', 'utf-8')", "past publish"),
        ("path.read_text()", "locale"),
        ("part.write_text('a')", "locale"),
        ("with path.open('a') as log: ...", "locale"),
        ("open(path)", "locale"),
        ("path.open()", "locale"),
        ("path.write_bytes(b'')", "writes path past publish"),
        ("np.save(path, a)", "writes path past publish"),
        ("np.save(file=path, arr=a)", "writes path past publish"),
        ("np.memmap(path, 'u1', 'w+')", "writes path past publish"),
    ],
    "disk/rasters/a.py": [("def f():\n    from swath.disk.scenes.labels import Labels", "from a higher folder")],
    "disk/stray/a.py": [("", "has no place")],
    "nets/a.py": [
        ("torch.load(path)", "calls torch.load("),
        ("torch.save(state, path)", "writes path past publish"),
        ("safetensors.torch.save_file(state, path)", "writes path past publish"),
        ("torch.hub.load_state_dict_from_url(u, weights_only=False)", "passes weights_only=False"),
    ],
    "steps/predict.py": [
        ("from swath.steps.train import train", "imports the step swath.steps.train"),
        ("from swath.steps import train", "imports the step swath.steps.train"),
        ("def f():\n    import swath.steps.train", "imports the step swath.steps.train"),
        ("import swath.pipeline", "from a higher level"),
    ],
    "importers/a.py": [("from swath.cli import main", "from a higher level")],
    "cli.py": [("try: f()\nexcept Exception: g()\ntry: f()\nexcept Exception: g()", "catches everything")],
    "stray.py": [("", "has no level")],
}  # fmt: skip


@pytest.mark.parametrize(("path", "text", "told"), [(p, *case) for p, cases in BAD.items() for case in cases])
def test_the_checker_finds_what_is_bad(path: str, text: str, told: str) -> None:
    found = violations({**STEPS, path: text})
    assert len(found) == 1
    assert found[0].startswith(f"{path}:")
    assert told in found[0]


GOOD = {
    "core/a.py": "import numpy as np\nfrom swath.core.windows import Window\nimport swath\n",
    "config.py": "from pydantic import BaseModel\nfrom swath.yamltext import load_yaml\n",
    "disk/a.py": "import rasterio\nfrom swath.core import grid\nnet.eval()\ntable.load(path)\npath.open('rb')",
    "disk/b.py": "def write(part):\n    with part.open('wb') as f:\n        np.save(f, a)\n    part.write_text('', 'utf-8')\n"
    "    with rasterio.open(part, 'w') as out: ...\n    open(f'{part}.x', 'wb')\n    np.save(self.part / 'a', a)",
    "disk/c.py": "file = path.open('r+b')  # publish: an append-only journal\n"
    "with path.open('a', encoding='utf-8') as log: ...\npath.read_text('utf-8')\nlog.open(more)",
    "disk/d.py": "buffer = io.BytesIO()\nnp.save(buffer, a)\nnp.memmap(path, 'u1', 'r')",
    "disk/scenes/a.py": "from swath.disk.scenes import b\nfrom swath.disk.rasters.crs import project",
    "disk/publish.py": "try:\n    write(path)\nexcept BaseException:\n    undo()\n    raise\nopen(path, 'wb')",
    "nets/a.py": "import torch\ntry:\n    f()\nexcept (RuntimeError, ValueError):\n    pass\n",
    "steps/predict.py": "from swath.steps.shared import helper\nfrom swath.engines.tiles import run\nimport swath",
    "importers/gdl.py": "from swath.steps.train import train\n",
    "pipeline.py": "from swath.steps import train, predict\n",
    "cli.py": "from swath.pipeline import run\ntry:\n    f()\nexcept Exception:\n    g()\n",
}


@pytest.mark.parametrize("path", GOOD)
def test_the_checker_lets_pass_what_is_good(path: str) -> None:
    assert violations({**STEPS, path: GOOD[path]}) == []
