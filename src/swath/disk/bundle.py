"""The model bundle: a directory that tells everything about a model and proves that it is read back right.

    card.json                   what the model is; names the other files with their SHA-256; written last
    weights-<hash>.safetensors  tensors
    probe-<hash>.npz            a raw patch, its model input and the output: the golden probe

New files get new names and the card is replaced atomically, so that a bundle is whole at every moment.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from swath.core.bands import Bands
from swath.core.errors import ConfigError, DataError
from swath.core.legend import Legend
from swath.disk.publish import card_fault, publish_bytes, publish_card, sweep
from swath.specs import SourceSpec

VERSION = 1
_MODEL_KEYS = ("name", "options", "in_channels", "out_channels", "stride", "radius")
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Bundle:
    """A bundle read from disk; `card` holds model, bands, legend, scores and provenance."""

    directory: Path
    card: dict[str, Any]

    @property
    def bands(self) -> Bands:
        """The preprocessing of the input."""
        return Bands.from_dict(self.card["bands"])

    @property
    def sources(self) -> dict[str, SourceSpec]:
        """The sources of the input by name; empty where it is the image alone."""
        return {n: SourceSpec.model_validate(s) for n, s in self.card.get("sources", {}).items()}

    @property
    def legend(self) -> Legend:
        """The class table."""
        return Legend.from_dict(self.card["legend"])

    @property
    def model(self) -> dict[str, Any]:
        """name, options, in_channels, out_channels, head, stride, radius."""
        return self.card["model"]

    @property
    def identity(self) -> str:
        """A short hash of weights and preprocessing: what a map names as its model."""
        text = json.dumps(
            [self.card["weights"], self.card["bands"], self.card["legend"], self.card["model"]]
            + ([self.card["sources"]] if "sources" in self.card else []),
            sort_keys=True,
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The weights by name, checked against the card. Raises DataError."""
        try:
            return load_tensors(self.read_part("weights"))
        except SafetensorError as e:
            raise DataError(
                "bundle-corrupt", self.directory, f"its weights cannot be read ({e})", "use another copy"
            ) from e

    def probe(self) -> dict[str, NDArray[Any]]:
        """`raw`, `valid`, `input` and `output` of the golden probe, checked against the card."""
        with np.load(io.BytesIO(self.read_part("probe")), allow_pickle=False) as arrays:
            return {k: arrays[k] for k in arrays.files}

    def read_part(self, part: str) -> bytes:
        """The bytes of `weights` or `probe`, checked against the card. Raises DataError."""
        entry = self.card[part]
        file = self.directory / entry["file"]
        if not file.is_file() or file.parent != self.directory:
            raise DataError("bundle-incomplete", file, "is missing", "use a whole copy of the bundle")
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise DataError("bundle-corrupt", file, "does not have the checksum on the card", "use another copy")
        return data


def read_bundle(path: str | Path) -> Bundle:
    """The bundle in a directory, or the best bundle of a run. Raises DataError."""
    directory = Path(path)
    if directory.name == "card.json":
        directory = directory.parent
    if not (directory / "card.json").exists() and (directory / "best" / "card.json").exists():
        directory = directory / "best"
    file = directory / "card.json"
    if not file.exists():
        raise DataError(
            "bundle-missing", path, "holds no model bundle", "name a bundle or a run that has finished training"
        )
    try:
        card = json.loads(file.read_text("utf-8"))
    except ValueError as e:
        raise DataError("bundle-corrupt", file, "is not valid JSON", "use another copy") from e
    if not isinstance(card, dict) or card.get("swath") != "bundle":
        raise DataError("bundle-missing", file, "is no model's card", "name a bundle or a run")
    if card.get("version") != VERSION:
        raise DataError("bundle-version", file, f"is version {card.get('version')}, this Swath reads {VERSION}",
                        "use the Swath that wrote it")  # fmt: skip
    absent = [k for k in ("model", "bands", "legend", "weights", "probe") if k not in card]
    if absent:
        raise DataError("bundle-corrupt", file, f"lacks {', '.join(absent)}", "use another copy")
    bundle = Bundle(directory.absolute(), card)
    _check_understood(bundle, file)
    return bundle


def _check_understood(bundle: Bundle, file: Path) -> None:
    """Nothing, or a DataError where the card's parts are not of the form that `write_bundle` gave them."""
    try:
        bands, _, model, _ = bundle.bands, bundle.legend, bundle.model, bundle.sources
        lengths = {len(part) for part in (bands.indexes, bands.names, bands.gain, bands.offset)}
        absent = [k for k in _MODEL_KEYS if k not in model]
        if absent or len(lengths) != 1:
            raise ValueError(f"the model lacks {', '.join(absent)}" if absent else "bands of unequal lengths")
    except (KeyError, TypeError, ValueError, ConfigError) as e:
        raise DataError("bundle-corrupt", file, f"cannot be understood ({e})", "use another copy") from e


def write_bundle(directory: Path, card: dict[str, Any], tensors: Arrays, probe: Arrays) -> Bundle:
    """The published bundle; an older one in the same directory stays whole until the new card replaces its card."""
    directory.mkdir(parents=True, exist_ok=True)
    sweep(directory)
    ordered = {k: np.array(tensors[k], order="C") for k in sorted(tensors)}
    entries = {
        "weights": _put(directory, "weights", ".safetensors", save_tensors(ordered)),
        "probe": _put(directory, "probe", ".npz", _npz(probe)),
    }
    publish_card(directory / "card.json", {"swath": "bundle", "version": VERSION, **card, **entries})
    current = {e["file"] for e in entries.values()}
    for old in [*directory.glob("weights-*.safetensors"), *directory.glob("probe-*.npz")]:
        if old.name not in current:
            old.unlink()
    return read_bundle(directory)


def bundle_faults(directory: Path) -> list[str]:
    """Everything wrong with the files of a bundle; empty where all are as they were written."""
    fault = card_fault(directory / "card.json")
    if fault:
        return [f"{directory / 'card.json'}: {fault}"]
    bundle = read_bundle(directory)
    faults = []
    for part in ("weights", "probe"):
        try:
            bundle.read_part(part)
        except DataError as e:
            faults.append(f"{e.where}: {e.message}")
    return faults


def _put(directory: Path, stem: str, suffix: str, data: bytes) -> dict[str, str]:
    digest = hashlib.sha256(data).hexdigest()
    name = f"{stem}-{digest[:12]}{suffix}"
    publish_bytes(directory / name, data)
    return {"file": name, "sha256": digest}


def _npz(arrays: Arrays) -> bytes:
    """The bytes of an .npz with fixed times, so that equal arrays give equal bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), member.getvalue())
    return out.getvalue()
