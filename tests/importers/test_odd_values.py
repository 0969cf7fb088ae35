"""Whatever stands in an old file, the import ends in a result or in one clear line, and never in a bug."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_templates import TEMPLATES, keys_of

import swath
from swath.core.errors import SwathError
from swath.importers.nist_keys import NIST
from swath.importers.otb_keys import OTB

ODD = ("abc", -1, 0, 1e300, 0.5, [], ["a", "b", "c"], {"a": 1}, True)


def changed(document: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    found = copy.deepcopy(document)
    at = found
    *sections, last = key.split(".")
    for section in sections:
        at = at[section]
    at[last] = value
    return found


def ends_well(system: str, source: Path, out: Path) -> bool:
    """True for a result whose rows are whole; a line where the values cannot be."""
    try:
        result = swath.import_(system, source, out=out, allow_missing=True, overwrite=True)
    except SwathError:
        return False  # anything else is a bug, and fails the test
    json.dumps(result)
    assert all(row["note"] for row in result["report"])
    return True


def write_yaml(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document, allow_unicode=True))


def write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("system", "name", "write"),
    [("gdl", "gdl_full.yaml", write_yaml), ("roof", "roof_settings.json", write_json), ("roof", "roof_test.json", write_json)],
)  # fmt: skip
def test_every_key_with_odd_values(system: str, name: str, write: Callable[[Path, Any], None], tmp_path: Path) -> None:
    document = yaml.safe_load((TEMPLATES / name).read_text())
    source = tmp_path / name
    well = 0
    for key in keys_of(TEMPLATES / name):
        for value in ODD:
            write(source, changed(document, key, value))
            well += ends_well(system, source, tmp_path / "out")
    assert well > 100


def scripts(table: Any, line: Callable[[str, str, str], str]) -> Iterator[str]:
    for key in table:
        program, _, name = key.replace("sourceN", "source1").partition(".")
        for value in ("abc", "-1", "0", "0.5", "1e300", "$X", "''", "a b c", ""):
            yield line(program, name, value)


@pytest.mark.parametrize(
    ("system", "table", "line"),
    [("nist", NIST, lambda p, n, v: f"python {p}.py --{n} {v}\n"),
     ("otb", OTB, lambda p, n, v: f"otbcli_{p} -{n} {v}\notbcli_PatchesSelection -in a.tif -grid.psize 8\n")],
)  # fmt: skip
def test_every_flag_with_odd_values(system: str, table: Any, line: Any, tmp_path: Path) -> None:
    well = 0
    for text in scripts(table, line):
        (tmp_path / "run.sh").write_text(text)
        well += ends_well(system, tmp_path / "run.sh", tmp_path / "out")
    assert well > 50
