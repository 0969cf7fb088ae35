"""A draft -> files: the manifest, and the config as YAML that says where each section came from."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from swath.config import Config, build_config
from swath.core.errors import ConfigError, DataError, ResourceError
from swath.disk.publish import make_directory, publish_text
from swath.disk.scenes.manifest import COLUMNS
from swath.importers.report import Draft
from swath.yamltext import parse_yaml


def require_files(draft: Draft, *, allow_missing: bool) -> None:
    """Nothing, or a DataError that lists every file that is named and not there, or has no partner."""
    if draft.missing and not allow_missing:
        listed = "; ".join(draft.missing)
        raise DataError("import-missing", draft.source, f"{len(draft.missing)} missing or unmatched: {listed}",
                        "correct the paths, name their folder with --root, or add --allow-missing")  # fmt: skip


def require_place(draft: Draft, out: Path, *, overwrite: bool) -> None:
    """Nothing, or a ResourceError (out-exists) where a file would be replaced unasked, or the source at all."""
    for path in _places(draft, out):
        if path.resolve() == draft.source.resolve():
            raise ResourceError("out-exists", path, "is the source itself", "name another directory with --out")
        if path.exists() and not overwrite:
            raise ResourceError("out-exists", path, "is there already", "add --overwrite to replace it")


def publish_draft(draft: Draft, out: Path, system: str) -> tuple[Path | None, Path | None]:
    """(config, manifest) as written to `out`; None where the old files do not hold enough for one.

    The config is read back before anything is written, so what is published is valid. Raises ConfigError (import-value).
    """
    config, manifest = _places(draft, out)
    text = config_text(_placed(draft.config, out), f"{system} {draft.source.name}")
    if not draft.config.get("classes"):
        return None, None
    try:
        build_config(parse_yaml(text, str(config)))
    except ConfigError as e:
        fix = f"correct {draft.source.name}; {e.fix}"
        raise ConfigError("import-value", draft.source, f"a value has no place in Swath: {e.message}", fix) from e
    make_directory(out)
    if draft.scenes:
        publish_text(manifest, manifest_text(draft.scenes, out))
    publish_text(config, text)
    return config, manifest if draft.scenes else None


def _places(draft: Draft, out: Path) -> tuple[Path, Path]:
    return out / f"{draft.source.absolute().stem}.yaml", out / "scenes.csv"


def config_text(config: dict[str, Any], origin: str) -> str:
    """The YAML text of a config: sections in their usual order, one key per line."""
    lines = [f"# imported from {origin}", "scenes: scenes.csv"]
    for section in (s for s in Config.model_fields if s in config):
        value = config[section]
        if isinstance(value, dict):
            lines.append(f"{section}:")
            lines += [f"  {key}: {_flow(value[key])}" for key in sorted(value, key=lambda k: isinstance(k, int))]
        else:
            lines.append(f"{section}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def manifest_text(rows: Iterable[dict[str, Any]], out: Path) -> str:
    """The CSV text of a manifest in `out`, its paths relative to it; empty columns are left out."""
    listed = [{k: _cell(v, out) for k, v in row.items() if v not in (None, "")} for row in rows]
    used = {k for row in listed for k in row}
    columns = [c for c in COLUMNS if c in used] + sorted(used - set(COLUMNS))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(listed)
    return text.getvalue()


def _cell(value: Any, out: Path) -> Any:
    """A value of the manifest; several files of one image are separated by semicolons."""
    if isinstance(value, list):
        return ";".join(str(_cell(v, out)) for v in value)
    return Path(os.path.relpath(value, out)).as_posix() if isinstance(value, Path) else value


def _placed(value: Any, out: Path) -> Any:
    """The same plain values, with paths as seen from `out`."""
    if isinstance(value, dict):
        return {k: _placed(v, out) for k, v in value.items()}
    return _cell(value, out) if isinstance(value, Path) else value


def _flow(value: Any) -> str:
    """YAML's flow style of plain values."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_name(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(v) for v in value) + "]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def _name(key: Any) -> str:
    return key if isinstance(key, str) and key.isidentifier() else json.dumps(key, ensure_ascii=False)
