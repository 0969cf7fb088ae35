"""The result of `swath analyze` is a preview of the samples: class shares per split, what each filter would drop, better
thresholds, what splits share, and bands that give the label away. No sample is written.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.filters import Filter
from swath.core.legend import Legend
from swath.core.samplers import members_of
from swath.core.splits import SPLITS, Split
from swath.core.telltale import tells
from swath.core.thresholds import Found, search_annotated, search_both, search_floors
from swath.disk.charts import publish_shares
from swath.disk.projects.label_pixels import label_pixels
from swath.disk.projects.project import Project
from swath.disk.publish import make_directory, sweep
from swath.disk.samples.leakage import leak_lines, leakage
from swath.disk.samples.plan import refused_points
from swath.disk.samples.tiletable import TABLE, TileTable, decide, reasons_in_order, tile_table
from swath.messages import counts, say, table

METHODS = {"min_annotated": search_annotated, "class_min": search_floors, "both": search_both}
PICTURE = "classes.png"
MOST_ROWS = 12  # of the table of scenes
_DECIDED = ("split.", "sample.")


def analyze(project: Project, *, search: bool = False) -> dict[str, Any]:
    """The preview of a project: `splits` {split: {class: {share, pixels}}}, `samples`, `dropped`, `scenes`, `search`,
    `suggestion`, `bands`, `leakage`, `decisions`, `table`, `picture`, `cached`, `events`, `seconds`.

    `samples`, `dropped` and `splits` are what `sample` then gives, since the same rules judge the same candidates. With
    `search`, every threshold that was tried is listed.
    """
    started = time.monotonic()
    directory = make_directory(project.run_dir / "analysis")
    sweep(directory)
    found, legend = tile_table(project, directory), project.legend
    verdicts = decide(project, found)
    groups = np.array([SPLITS.index(p.split) for p in found.places], np.int64)
    kept = np.array([v is None for v in verdicts], bool)
    splits = {s: _classes(found.counts[kept & (groups == n)], legend) for n, s in enumerate(SPLITS)}
    results = _search(project, found)
    bands = _bands(project)
    return {
        "splits": splits,
        "samples": {s: int((kept & (groups == n)).sum()) for n, s in enumerate(SPLITS)},
        "dropped": reasons_in_order(Counter(v for v in verdicts if v) + Counter(refused_points(project))),
        "dropped_by_split": {s: _reasons(verdicts, np.flatnonzero(groups == n)) for n, s in enumerate(SPLITS)},
        "scenes": _scenes(project, found, verdicts),
        "search": {name: _told(result, legend, steps=search) for name, result in results.items()},
        "suggestion": _suggestion(_best(results), bands, project),
        "bands": bands,
        "leakage": leakage(project),
        "decisions": [
            {"key": k, "value": v, "because": why} for k, v, why in project.reasons if k.startswith(_DECIDED)
        ],
        "table": str(directory / TABLE),
        "picture": _picture(directory / PICTURE, splits, legend, results["min_annotated"]),
        "cached": found.cached,
        "events": dict(sorted(project.events.as_dict().items())),
        "seconds": round(time.monotonic() - started, 3),
    }  # fmt: skip


def _classes(rows: NDArray[np.int64], legend: Legend) -> dict[str, Any]:
    """{class: {pixels, share}} of the label pixels of some samples (n, C)."""
    pixels = rows.sum(0)
    total = int(pixels.sum())
    return {n: {"pixels": int(p), "share": float(p / total) if total else None} for n, p in zip(legend.names, pixels, strict=True)}


def _reasons(verdicts: Sequence[str | None], rows: NDArray[np.int64]) -> dict[str, int]:
    return reasons_in_order(Counter(v for n in rows.tolist() if (v := verdicts[n])))


def _scenes(project: Project, found: TileTable, verdicts: Sequence[str | None]) -> list[dict[str, Any]]:
    """Per split and scene with candidates: what is kept of them, and why the others are not."""
    told = []
    keys = np.array([SPLITS.index(p.split) * len(project.scenes) + p.scene for p in found.places], np.int64)
    for rows in members_of(keys) if len(keys) else ():
        place = found.places[int(rows[0])]
        kept = [n for n in rows.tolist() if verdicts[n] is None]
        told.append({"scene": project.scenes[place.scene].name, "split": place.split, "samples": len(kept),
                     "dropped": _reasons(verdicts, rows), "classes": _classes(found.counts[kept], project.legend)})  # fmt: skip
    return told


def _search(project: Project, found: TileTable) -> dict[str, Found]:
    """Every method on the training candidates; rules that it does not search stay as the config has them."""
    tiles = found.tiles("trn", project.legend.background)
    rules = Filter(max_nodata=project.filter.max_nodata)
    return {name: method(tiles, rules) for name, method in METHODS.items()}


def _told(found: Found, legend: Legend, *, steps: bool) -> dict[str, Any]:
    told = {
        **_thresholds(found.rules, legend),
        "std": {"before": _number(found.before), "after": _number(found.after)},
        "samples": {"before": found.tiles, "after": found.kept},
    }
    tried = [
        {"class": None if k is None else legend.names[k], "threshold": t, "samples": n, "std": _number(s)}
        for k, t, n, s in found.tried
    ]
    return {**told, "tried": tried} if steps else told


def _thresholds(rules: Filter, legend: Legend) -> dict[str, Any]:
    return {"min_annotated": rules.min_annotated, "class_min": {legend.names[k]: f for k, f in rules.class_min.items()}}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


def _bands(project: Project) -> list[dict[str, Any]]:
    """Per band how well it alone tells the class; `suspicious` says why it looks made from the labels."""
    values, indices = label_pixels(project, project.regions, project.bands.indexes)
    told = tells(values, indices, len(project.legend))
    return [
        {"band": number, "name": name, "kappa": round(t.kappa, 4), "correlation": round(t.correlation, 4),
         "suspicious": {"": None, "is": "predicts the label almost alone",
                        "follows": f"is {t.usual:g} except where {project.legend.names[t.index]} is"}[t.verdict]}
        for number, name, t in zip(project.bands.indexes, project.bands.names, told, strict=False)
    ]  # fmt: skip


def _best(results: Mapping[str, Found]) -> Found:
    """What leaves the least spread; of equal ones what both methods found together."""
    return min((results["both"], *results.values()), key=lambda found: np.inf if np.isnan(found.after) else found.after)


def _suggestion(found: Found, bands: Sequence[dict[str, Any]], project: Project) -> dict[str, Any]:
    """`text`: lines for the config; `values`: the same as settings; `because`: one reason per line."""
    values: dict[str, Any] = {}
    because = []
    chosen = {k: v for k, v in _thresholds(found.rules, project.legend).items() if v}
    if chosen and found.after < found.before:
        spec = project.config.sample  # rules of the config that the search did without are taken back
        values |= {"sample.min_annotated": 0.0} if spec.min_annotated and "min_annotated" not in chosen else {}
        values |= {f"sample.{key}": value for key, value in chosen.items()}
        values |= {"sample.class_min": {}} if spec.class_min and "class_min" not in chosen else {}
        if "class_min" in chosen and spec.class_mode != "all":
            values["sample.class_mode"] = "all"
        because.append(f"evens out the classes: the standard deviation of their shares falls from {100 * found.before:.3g} to "
                       f"{100 * found.after:.3g} %, with {found.kept} of {found.tiles} training samples")  # fmt: skip
    bad = [b for b in bands if b["suspicious"]]
    if bad and len(bad) < len(bands):
        values["bands.select"] = [b["band"] for b in bands if not b["suspicious"]]
        because += [f"leaves out band {b['band']}, which {b['suspicious']}" for b in bad]
    return {"text": _snippet(values), "values": values, "because": because}


def _snippet(values: dict[str, Any]) -> str:
    """Settings as lines of a config."""
    sections: dict[str, list[str]] = {}
    for key, value in values.items():
        section, name = key.split(".")
        shown = json.dumps(value, ensure_ascii=False)  # which is YAML, too, whatever a class is called
        sections.setdefault(section, []).append(f"  {name}: {shown}")
    return "\n".join(line for section, lines in sections.items() for line in (f"{section}:", *lines))


def _picture(path: Path, splits: Mapping[Split, Any], legend: Legend, annotated: Found) -> str | None:
    """The published chart; None, and said, without matplotlib."""
    if find_spec("matplotlib") is None:
        say("note: no chart is drawn, as matplotlib is not installed: pip install 'swath[train]'")
        return None
    shares = {s: [c["share"] for c in classes.values()] for s, classes in splits.items() if any(c["pixels"] for c in classes.values())}
    tried = [(t, n / annotated.tiles, s) for _, t, n, s in annotated.tried if not np.isnan(s)] if annotated.tiles else []
    colours = [c.color for c in legend.classes]
    return str(publish_shares(path, shares, legend.names, colours, tried if len(tried) > 1 else [], annotated.rules.min_annotated))


def render(result: dict[str, Any]) -> str:
    """The preview as text."""
    names = list(next(iter(result["splits"].values())))
    rows = [
        (s, result["samples"][s], sum(result["dropped_by_split"][s].values()), *(_percent(c["share"]) for c in classes.values()))
        for s, classes in result["splits"].items()
    ]
    lines = [table(rows, ("split", "samples", "dropped", *names))]
    lines += [counts(f"dropped in {s}", found) for s, found in result["dropped_by_split"].items() if found]
    lines += [counts("events", result["events"])] if result["events"] else []
    if len(result["scenes"]) > 1:
        listed = [(s["scene"], s["split"], s["samples"], sum(s["dropped"].values()), *(_percent(c["share"]) for c in s["classes"].values()))
                  for s in result["scenes"]]  # fmt: skip
        lines += ["", table(listed[:MOST_ROWS], ("scene", "split", "samples", "dropped", *names))]
        lines += [f"... and {len(listed) - MOST_ROWS} more"] if len(listed) > MOST_ROWS else []
    lines += ["", table([_method(name, found) for name, found in result["search"].items()],
                        ("thresholds", "found", "std of shares", "training samples"))]  # fmt: skip
    tried = result["search"]["both"].get("tried")
    lines += ["", table(map(_step, tried), ("share of", "at least", "samples", "std of shares"))] if tried else []
    best = sorted(result["bands"], key=lambda b: (b["suspicious"] is None, -b["kappa"]))[:MOST_ROWS]
    if best:
        lines += ["", table([(b["band"], b["name"], b["kappa"], b["suspicious"] or "") for b in best],
                            ("band", "name", "kappa alone", "suspicious"))]  # fmt: skip
        lines += [f"... and {len(result['bands']) - MOST_ROWS} more"] if len(result["bands"]) > MOST_ROWS else []
    lines += ["", *leak_lines(result["leakage"])]
    lines += [f"{d['key']} = {d['value']}: {d['because']}" for d in result["decisions"]]
    lines += ["", *_advice(result["suggestion"])]
    lines += [f"table: {result['table']}" + (" (as before)" if result["cached"] else "")]
    return "\n".join([*lines, *([f"picture: {result['picture']}"] if result["picture"] else [])])


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.3g} %"


def _method(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    floors = [f"{n} {100 * f:.3g} %" for n, f in found["class_min"].items()]
    chosen = [*([f"annotated {100 * found['min_annotated']:.3g} %"] if found["min_annotated"] else []), *floors]
    std, samples = found["std"], found["samples"]
    return (name, ", ".join(chosen) or "none", f"{_percent(std['before'])} -> {_percent(std['after'])}",
            f"{samples['before']} -> {samples['after']}")  # fmt: skip


def _step(tried: dict[str, Any]) -> tuple[Any, ...]:
    return tried["class"] or "annotated", _percent(tried["threshold"]), tried["samples"], _percent(tried["std"])


def _advice(suggestion: dict[str, Any]) -> list[str]:
    if not suggestion["values"]:
        return ["suggestion: none; no threshold evens out the classes further"]
    return ["suggestion:", *(f"  # {why}" for why in suggestion["because"]), *(f"  {line}" for line in suggestion["text"].splitlines())]
