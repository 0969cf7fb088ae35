"""The command line is a contract: one object with --json, one line on failure, nothing heavy for help."""

from __future__ import annotations

import errno
import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import swath
from swath import api
from swath.cli import VERBS, main, parser
from swath.commands import python_name
from swath.core.errors import QualityError

pytest_plugins = ["fixtures_run"]
Run = Callable[..., tuple[int, str, str]]
ON = ("runtime.device=cpu", "runtime.threads=1")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Run:
    """`cli("train", config)` is (exit code, stdout, stderr)."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(w) for w in words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def one_object(text: str) -> dict[str, Any]:
    """The only JSON object of a text of one line, without NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    assert text.count("\n") == 1
    found = json.loads(text, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("words", [["--help"], [], ["--version"], ["train", "--help"], ["predict", "-h"], ["nonsense"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    script = f"""
import sys
from swath.cli import main
try:
    main({words!r})
except SystemExit:
    pass
heavy = {{"torch", "rasterio", "pyogrio", "pydantic", "matplotlib", "numpy", "shapely", "rich"}} & set(sys.modules)
sys.exit(f"imported {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_command_and_the_module_are_the_same() -> None:
    command = Path(sys.executable).parent / "swath"
    calls = ([command], [sys.executable, "-m", "swath"])
    told = [subprocess.run([*c, "--version"], capture_output=True, text=True, check=True).stdout for c in calls]
    assert told == [f"swath {swath.__version__}\n"] * 2


def test_the_overview_shows_every_verb(cli: Run) -> None:
    for words in ([], ["--help"], ["-h"], ["help"]):
        code, out, err = cli(*words)
        assert (code, err) == (0, "")
        assert out.startswith("swath run roofs.yaml")
        assert all(f"\n  {name} " in out for name in VERBS)
    assert one_object(cli("--version", "--json")[1]) == {"swath": swath.__version__}


@pytest.mark.parametrize("name", VERBS)
def test_the_help_of_a_verb_begins_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main([name, "--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    first = text.splitlines()[0]
    assert first.startswith(f"swath {name}")
    assert f"The result of `swath {name}` is " in text
    words = first.partition(" > ")[0].split()[2:]
    settings = [w for w in words if "=" in w]
    parser(name).parse_args([w for w in words if w not in settings])
    assert hasattr(api, python_name(name))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["trian"], "no verb 'trian'; did you mean 'train'?"),
        (["maps"], "no verb 'maps'"),
        (["train"], "the following arguments are required: config; see swath train --help"),
        (["train", "a.yaml", "b.yaml"], "unrecognized arguments: b.yaml"),
        (["train", "a.yaml", "--resum3"], "unrecognized arguments: --resum3"),
        (["predict", "model", "a.tif"], "required: --out"),
        (["demo", "--seed", "x"], "invalid int value: 'x'"),
        (["info", "a.tif", "train.steps=3"], "train.steps=3: the section 'train' has no meaning here; known: runtime"),
        (["schema", "a=1"], "`swath schema` has no settings"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_2(cli: Run, words: list[str], told: str) -> None:
    code, out, err = cli(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert told in err


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (["train", "nowhere.yaml"], 2, "config-missing"),
        (["predict", "nowhere", "a.tif", "--out", "x"], 3, "bundle-missing"),
        (["trian"], 2, "verb-unknown"),
        (["vectorize"], 2, "usage"),
    ],
)
def test_a_failure_with_json_is_one_object(
    cli: Run, words: list[str], code: int, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found, out, err = cli(*words, "--json")
    failure = one_object(out)
    assert found == code
    assert failure["ok"] is False
    assert set(failure) == {"ok", "error"}
    assert set(failure["error"]) == {"code", "where", "message", "fix"}
    assert failure["error"]["code"] == kind
    assert err.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_every_verb_of_the_chain_prints_its_keys(cli: Run, own_town: Path, tmp_path: Path) -> None:
    run, out = own_town.parent / "runs" / "roofs", tmp_path / "out"
    calls: list[tuple[list[object], set[str]]] = [
        (["check", own_town], {"ok", "findings", "inputs"}),
        (["sample", own_town], {"store", "samples", "dropped"}),
        (["train", own_town, "train.steps=4", "train.evaluations=2"], {"run", "bundle", "bundle_last", "best", "steps", "seconds"}),
        (["predict", run, own_town.parent / "west.tif", "--out", out, *ON],
         {"maps", "margin", "exact", "backend", "megapixels_per_second"}),
        (["evaluate", run, own_town.parent / "scenes.csv", *ON],
         {"mean_iou", "mean_iou_foreground", "overall_accuracy", "kappa", "classes", "scenes"}),
        (["vectorize", out / "west_map.tif", "--out", tmp_path / "west.gpkg"], {"classes"}),
        (["verify", run], {"ok", "kind", "faults"}),
        (["schema"], {"properties"}),
    ]  # fmt: skip
    for words, keys in calls:
        code, text, err = cli(*words, "--json", "-q")
        found = one_object(text)
        assert code == 0, err
        assert err == ""
        assert keys <= set(found), words[0]
        assert found.get("ok", True) is True
        paths = [found[k] for k in ("store", "run", "bundle", "vectors") if k in found]
        assert all(Path(p).is_absolute() and Path(p).exists() for p in paths)


def test_people_get_a_table_on_stdout_and_messages_on_stderr(cli: Run, own_town: Path) -> None:
    code, out, err = cli("sample", own_town)
    assert code == 0
    assert out.splitlines()[0].split() == ["split", "samples", "background", "roof"]
    assert "store: " in out
    code, out, err = cli("train", own_town, "train.steps=4", "train.evaluations=4", "train.lr=0.000001")
    assert code == 0
    assert "best: step" in out
    assert "warning: class 'roof' was not predicted" in err
    assert "was not predicted" not in out
    quiet = cli("train", own_town, "train.steps=4", "train.evaluations=4", "train.lr=0.000001", "--overwrite", "-q")
    assert (quiet[0], quiet[2]) == (0, "")


def test_settings_reach_the_verb(cli: Run, own_town: Path) -> None:
    code, out, _ = cli("sample", own_town, "sample.tile=48", "--json")
    card = json.loads((Path(one_object(out)["store"]) / "card.json").read_text())
    assert (code, card["schema"]["side"]) == (0, 48)
    code, _, err = cli("sample", own_town, "sample.tyle=48")
    assert code == 2
    assert "unknown key 'sample.tyle'; did you mean 'tile'?" in err
    code, _, err = cli("predict", "model", "a.tif", "--out", "x", "train.steps=3")
    assert code == 2
    assert "the section 'train' has no meaning here" in err


def test_a_file_whose_name_looks_like_a_setting_is_a_file(cli: Run, own_town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own_town.parent)
    own_town.rename("a=b.yaml")
    code, out, _ = cli("sample", "a=b.yaml", "--json")
    assert code == 0
    assert "a=b" in one_object(out)["store"]


def test_a_store_of_another_config_is_5(cli: Run, own_town: Path) -> None:
    cli("sample", own_town)
    assert cli("sample", own_town, "sample.tile=48")[0] == 5


def test_findings_that_stop_a_map_are_3(cli: Run, own_town: Path) -> None:
    (own_town.parent / "west.gpkg").write_bytes(b"no vector")
    code, out, _ = cli("check", own_town, "--json")
    found = one_object(out)
    assert code == 3
    assert found["ok"] is False
    first = next(f for f in found["findings"] if f["level"] == "error")
    assert set(first) >= {"level", "code", "where", "message", "fix"}
    assert "west.gpkg" in first["where"]


def raising(error: BaseException) -> Callable[..., dict[str, Any]]:
    def fail(*_: object, **__: object) -> dict[str, Any]:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (QualityError("gate", "map", "mean IoU 0.4 is below 0.5", "train longer"), 4, "map: mean IoU 0.4 is below 0.5; train longer"),
        (MemoryError(), 5, "there is not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), 5, "there is not enough memory"),
        (OSError(errno.ENOSPC, "No space left on device", "maps/a.tif"), 5, "maps/a.tif: the disk is full"),
    ],
)
def test_foreseen_failures_have_their_codes(
    cli: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, told: str
) -> None:
    monkeypatch.setattr(api, "verify", raising(error))
    found, out, err = cli("verify", "x")
    assert (found, out) == (code, "")
    assert err.startswith("error: ")
    assert told in err
    assert err.count("\n") == 1


def test_a_bug_is_one_line_and_a_log(cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(api, "verify", raising(ZeroDivisionError("no\nway")))
    code, out, err = cli("verify", "x", "--json")
    assert code == 1
    assert one_object(out)["error"]["code"] == "bug"
    assert "Traceback" not in err
    assert err.count("\n") == 1
    log = next(tmp_path.glob("swath-*.log"))
    assert str(log) in err
    assert "ZeroDivisionError" in log.read_text()
    assert "Traceback" in cli("verify", "x", "--debug")[2]


def test_ctrl_c_is_130(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "verify", raising(KeyboardInterrupt()))
    code, out, err = cli("verify", "x")
    assert (code, out) == (130, "")
    assert "goes on" in err


def test_the_handler_of_sigterm_does_not_outlive_the_command(cli: Run) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert cli("schema")[0] == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_reader_that_goes_away_is_no_bug() -> None:
    script = f"{shlex.quote(sys.executable)} -m swath schema | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("0", "1")
    assert "Traceback" not in done.stderr
    assert "error" not in done.stderr
