"""The result of `swath convert` is the same samples in another layout: Swath's store, or one that other systems read."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from swath.core.errors import DataError, ResourceError
from swath.core.legend import Legend
from swath.core.splits import SPLIT_OF, SPLITS
from swath.disk.formats import ForeignSample, ForeignSamples, Format, format_of, named_format
from swath.disk.formats.foreign import CARD, finite, safe_stem, with_legend
from swath.disk.formats.swathstore import read_store, store_from_samples
from swath.disk.publish import sweep
from swath.disk.stores.store import unfinished

STORE = "store"
_IN_FILE_NAMES = {"folders", "nnunet"}


def convert(
    source: str | Path,
    out: str | Path,
    *,
    to: str,
    source_format: str | None = None,
    legend: Legend | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """`out`, `from`, `to`, `samples` per split, `classes`, what was `lost` in the new layout, and `notes`.

    `to` and `source_format` are names of `FORMATS`, or `store`; `source_format` None: told from the files. `legend` maps
    the label values of a layout that states no classes. What is written is read back and compared before it appears.

    Raises ConfigError (format-unknown, extra-missing), DataError (format-unclear, format-malformed, class-unknown, ...),
    ResourceError (out-exists: something else is there, or the same without `overwrite`).
    """
    source, out = Path(source), Path(out)
    if to != STORE:
        named_format(to)
    kind = source_format or told_format(source)
    samples = read_store(source) if kind == STORE else named_format(kind).read(source)
    require_place(source, out, to, overwrite=overwrite)
    if out.parent.is_dir():
        sweep(out.parent)  # what an earlier conversion left behind when it was killed
    return convert_samples(samples, kind, out, to=to, legend=legend)


def convert_samples(
    samples: ForeignSamples, kind: str, out: Path, *, to: str, legend: Legend | None = None
) -> dict[str, Any]:
    """`convert` of samples that are being read already; `kind` is the name of where they come from."""
    started = time.monotonic()
    target = None if to == STORE else named_format(to)
    stated = legend is not None or samples.facts.legend is not None
    samples = with_legend(samples, legend)
    seen: Counter[str] = Counter()
    watched = _watched(samples, seen)
    if target is None:
        store_from_samples(watched, out)
    else:
        target.write(watched, out)
    table = samples.facts.legend
    assert table is not None
    notes = list(samples.notes)
    if not stated and table.ids[-1] == 255:
        notes.append("the label value 255 was taken for a class; if it means that nothing counts there: --classes CONFIG")
    return {
        "out": str(out.absolute()),
        "from": kind,
        "to": to,
        "samples": {s: seen[s] for s in SPLITS},
        "classes": {str(c.id): c.name for c in table.classes},
        "lost": lost(seen, target, to),
        "notes": notes,
        "seconds": round(time.monotonic() - started, 3),
    }


def told_format(source: Path) -> str:
    """The format that the files tell: a store by its card, else one of `FORMATS`. Raises DataError."""
    if not source.exists():
        raise DataError("file-missing", source, "no such file or directory", "check the path")
    card = source / "card.json"
    if card.exists() and (source / "records.bin").exists():
        return STORE
    return format_of(source)


def require_place(source: Path, out: Path, to: str, *, overwrite: bool) -> None:
    """Nothing, or a ResourceError where `out` is taken: only samples made by Swath are ever replaced, and not silently.

    Inside the source there is place beside samples by others; not in what Swath wrote, which is replaced as a whole, nor
    under a name that stands for a split there.
    """
    there, here = out.resolve(), source.resolve()
    inside = here in there.parents and (_is_ours(here) or bool({p.lower() for p in there.relative_to(here).parts} & SPLIT_OF.keys()))
    if there == here or there in here.parents or inside:
        told = "holds" if there in here.parents else "is" if there == here else "lies in"
        raise ResourceError("out-exists", out, f"{told} the source {source}", "name another place")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())) or (to == STORE and unfinished(out)):
        return
    if not _is_ours(out):
        raise ResourceError("out-exists", out, "is there and holds no samples made by Swath", "name another place")
    if to == STORE and not (out / "records.bin").exists():
        raise ResourceError("out-exists", out, "holds samples of another layout", "name another place")
    if not overwrite:
        raise ResourceError("out-exists", out, "holds samples already", "add --overwrite to replace them")


def lost(seen: Counter[str], target: Format | None, to: str) -> list[str]:
    """What the new layout cannot hold, with the number of samples concerned."""
    if target is None:
        return []
    told = {"georeference": "georeference", "masks": "mask of invalid pixels (their labels are ignored)",
            "patch labels": "class of the patch as a whole"}  # fmt: skip
    found = [f"{text} of {seen[kind]} samples" for kind, text in told.items()
             if seen[kind] and kind not in target.keeps]  # fmt: skip
    total = sum(seen[s] for s in SPLITS)
    if "patch labels" in target.keeps and seen["label maps"] > 0 and seen["patch labels"] == total:
        found.append(f"label maps of {seen['label maps']} samples: one class is written per patch")
    if "names" not in target.keeps:
        found.append(f"names of {total} samples")
    elif to in _IN_FILE_NAMES and seen["unfit names"]:
        found.append(f"names of {seen['unfit names']} samples, which are no file names, were changed")
    return found


def _is_ours(out: Path) -> bool:
    for name, words in (("card.json", {"store"}), (CARD, {"samples"})):
        try:
            value = json.loads((out / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(value, dict) and value.get("swath") in words:
            return True
    return False


def _watched(samples: ForeignSamples, seen: Counter[str]) -> ForeignSamples:
    """The samples, counted anew in each pass: per split, with georeference, with a mask, with an odd name."""

    def stream() -> Iterator[ForeignSample]:
        seen.clear()
        for s in samples:
            seen[s.split] += 1
            seen["georeference"] += s.grid is not None
            seen["masks"] += not np.array_equal(s.mask, finite(s.image))
            seen["patch labels"] += s.label is not None
            seen["label maps"] += s.label is not None and len(np.unique(s.labels)) > 1
            seen["unfit names"] += safe_stem(s.name) != s.name
            yield s

    return replace(samples, stream=stream, told=None)
