"""The result of `swath import` is a config and a manifest made from those of another system, with a row for every key."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swath.core.errors import ConfigError, DataError, did_you_mean
from swath.importers.folders import import_frames_masks, import_images_masks
from swath.importers.gdl import import_csv, import_gdl
from swath.importers.nist import import_nist
from swath.importers.otb import import_otb
from swath.importers.pairs import Pairing
from swath.importers.report import Draft
from swath.importers.roof import import_roof
from swath.importers.write import publish_draft, require_files, require_place

Importer = Callable[..., None]

SYSTEMS: dict[str, Importer] = {
    "gdl": lambda draft, out, pairing, overwrite: import_gdl(draft, out, overwrite=overwrite),
    "gdl-csv": lambda draft, out, pairing, overwrite: import_csv(draft, out, overwrite=overwrite),
    "roof": lambda draft, out, pairing, overwrite: import_roof(draft, pairing),
    "frames-masks": lambda draft, out, pairing, overwrite: import_frames_masks(draft, pairing),
    "nist": lambda draft, out, pairing, overwrite: import_nist(draft, out, pairing, overwrite=overwrite),
    "images-masks": lambda draft, out, pairing, overwrite: import_images_masks(draft, pairing),
    "otb": lambda draft, out, pairing, overwrite: import_otb(draft, out, overwrite=overwrite),
}


def require_no_model(source: Path) -> None:
    """Nothing, or a ConfigError where a file or a folder is a model of TensorFlow, or its checkpoint.

    A folder with other folders, such as of images, is more than a model.
    """
    files = [source] if source.is_file() else list(source.iterdir())
    if any(f.is_dir() and f.name not in ("variables", "assets") for f in files):
        return
    if any(f.name == "saved_model.pb" or ".ckpt" in f.name or re.search(r"\.data-\d{5}-of-\d{5}$", f.name) for f in files):
        raise ConfigError("import-weights", source, "holds a model of TensorFlow, whose checkpoints and saved models are not read",
                          "train again, or keep the old program for this model; import the folder of data")  # fmt: skip


def import_(
    system: str,
    source: str | Path,
    out: str | Path,
    *,
    root: str | Path | None = None,
    pairing: Pairing | None = None,
    allow_missing: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """`config` and `manifest` (None where the source holds too little), `report`, `scenes`, `missing`, `commands`.

    `system` is a name in SYSTEMS, `root` the folder that relative paths start from, `pairing` how images find their
    masks. Files that are named and not there, and files without partner, are an error unless `allow_missing`; they are
    listed all at once. The source is only read, and nothing in it is run.

    Raises ConfigError (system-unknown, import-kind, import-value, import-weights), DataError (import-missing, import-list, ...),
    ResourceError (out-exists).
    """
    started, source, out = time.monotonic(), Path(source), Path(out)
    if system not in SYSTEMS:
        raise ConfigError("system-unknown", system, "no such system", did_you_mean(system, SYSTEMS))
    if not source.exists():
        raise DataError("file-missing", source, "no such file or directory", "check the path")
    if root is not None and not Path(root).is_dir():
        raise DataError("file-missing", root, "no such directory", "check --root")
    require_no_model(source)
    draft = Draft(source, Path(root) if root is not None else None)
    require_place(draft, out, overwrite=overwrite)
    SYSTEMS[system](draft, out, pairing or Pairing(), overwrite)
    require_files(draft, allow_missing=allow_missing)
    config, manifest = publish_draft(draft, out, system)
    if manifest is not None and config is not None:
        draft.commands.insert(0, f"swath check {shlex.quote(str(config))}")
    return {
        "config": str(config.absolute()) if config else None,
        "manifest": str(manifest.absolute()) if manifest else None,
        "report": [row.as_dict() for row in draft.rows],
        "scenes": len(draft.scenes),
        "missing": draft.missing,
        "commands": draft.commands,
        "seconds": round(time.monotonic() - started, 3),
    }
