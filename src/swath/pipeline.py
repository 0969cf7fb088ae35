"""`run`: composes the steps, skips what is done, and is the only place that knows their order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from swath.core.errors import ConfigError, DataError, did_you_mean
from swath.core.splits import Region
from swath.disk.bundle import read_bundle
from swath.disk.pictures import coloured, overlay, publish_png, rgb, side_by_side
from swath.disk.projects.marks import changed_files, read_marks, write_mark
from swath.disk.projects.project import Project, load_project, load_training
from swath.disk.publish import publish_json
from swath.disk.rasters.maps import read_map_info
from swath.disk.rasters.raster import RasterReader
from swath.disk.remote.access import remote_access
from swath.disk.scenes.manifest import Scene
from swath.disk.sources.images import open_image
from swath.disk.sources.stack import Image
from swath.disk.sources.stamp import file_stamp
from swath.messages import say

STEPS = ("check", "sample", "train", "evaluate", "predict", "vectorize", "picture")


@dataclass
class Chain:
    """The steps of one run with what they gave so far."""

    project: Project
    overrides: Sequence[str]
    overwrite: bool
    resume: bool
    results: dict[str, Any]

    @property
    def run(self) -> Path:
        """The run's directory."""
        return self.project.run_dir


def run(
    config: str | Path, overrides: Sequence[str] = (), *, start: str | None = None, only: str | None = None,
    overwrite: bool = False, resume: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """The whole chain on a config: `run`, `scores` (as evaluate), `maps`, `vectors`, `picture`, `executed` steps.

    A step whose result is there and was made by the same settings, model and inputs is skipped; `start` makes that
    step and all later ones anew, `only` makes one step. An interrupted training goes on where it was.
    """
    project = load_project(config, overrides)
    chain = Chain(project, overrides, overwrite, resume, {})
    chosen = _chosen(start, only)
    executed = []
    for name in STEPS:
        if only and name != only:
            _recall(chain, name)
            continue
        key = _key(chain, name)
        if not overwrite and not (start and name in chosen) and not only and _is_done(chain, name, key):
            _recall(chain, name)
            say(f"{name}: done before")
            continue
        say(f"{name} ...")
        with remote_access(project.config.runtime.remote):
            result = _ACTIONS[name](chain, (start is not None and name in chosen) or overwrite or only is not None)
        chain.results[name] = result
        _mark(chain, name, key, result)
        executed.append(name)
    return _summary(chain, executed)


def _chosen(start: str | None, only: str | None) -> tuple[str, ...]:
    for name in (start, only):
        if name is not None and name not in STEPS:
            raise ConfigError("step-unknown", name, f"no step is called '{name}'", did_you_mean(name, STEPS))
    return STEPS[STEPS.index(start) :] if start else STEPS


def _check(chain: Chain, again: bool) -> dict[str, Any]:
    from swath.steps.check import check_project

    result = check_project(chain.project.path, chain.overrides)
    faults = [f for f in result["findings"] if f["level"] == "error"]
    for level, found in (("warning", [f for f in result["findings"] if f["level"] == "warning"]), ("also", faults[1:])):
        for f in found:
            say(f"{level}: {f['where']}: {f['message']}; {f['fix']}".removesuffix("; "))
    if faults:
        raise DataError(faults[0]["code"], faults[0]["where"], faults[0]["message"], faults[0]["fix"])
    return {"findings": len(result["findings"])}


def _sample(chain: Chain, again: bool) -> dict[str, Any]:
    from swath.steps.sample import sample

    named = chain.project.config.train.store
    if named is not None:  # the training reads that one: another would be made for nothing
        return {"store": str((chain.project.path.parent / named).absolute())}
    return sample(chain.project, overwrite=again)


def _train(chain: Chain, again: bool) -> dict[str, Any]:
    from swath.steps.train import train

    project = load_training(chain.project.path, chain.overrides)
    return train(project, resume=chain.resume and not again, overwrite=again)


def _evaluate(chain: Chain, again: bool) -> dict[str, Any]:
    from swath.steps.evaluate import evaluate

    config = chain.project.config
    split, regions = split_regions(chain.project)
    scores = evaluate(
        chain.run / "best", chain.project.scenes, split=split, regions=regions, labels=config.labels,
        predict=config.predict, runtime=config.runtime,
    )  # fmt: skip
    publish_json(chain.run / "scores.json", scores)
    return scores


def _predict(chain: Chain, again: bool) -> dict[str, Any]:
    from swath.steps.predict import predict

    config, mark = chain.project.config, _marks(chain).get("predict", {})
    spoiled = mark.get("key") == _key(chain, "predict") and bool(changed_files(mark))
    return predict(
        chain.run / "best", scenes_to_map(chain.project.scenes), chain.run / "maps", spec=config.predict,
        runtime=config.runtime, overwrite=again or spoiled, replace=True,
    )  # fmt: skip


def _vectorize(chain: Chain, again: bool) -> dict[str, Any]:
    from swath.steps.vectorize import vectorize

    found = []
    for made in _maps(chain):
        target = chain.run / "vectors" / f"{Path(made['map']).stem}.gpkg"
        found.append(vectorize(made["map"], target, spec=chain.project.config.vectorize, overwrite=True))
    return {"vectors": [f["vectors"] for f in found], "classes": [f["classes"] for f in found]}


def _maps(chain: Chain) -> list[dict[str, Any]]:
    """What `predict` made. Raises DataError where it has not run."""
    if "predict" not in chain.results:
        raise DataError(
            "step-missing", chain.run, "predict has not run yet", "run without --only, or --only predict first"
        )
    return chain.results["predict"]["maps"]


def _picture(chain: Chain, again: bool) -> dict[str, Any]:
    made = _maps(chain)[0]
    images = {str(s.image.absolute()): s.image for s in chain.project.scenes}
    image = images.get(made["input"], Path(made["input"]))
    return {"picture": str(map_picture(chain.project, image, Path(made["map"]), chain.run / "map.png"))}


_ACTIONS: dict[str, Callable[[Chain, bool], dict[str, Any]]] = {
    "check": _check, "sample": _sample, "train": _train, "evaluate": _evaluate, "predict": _predict,
    "vectorize": _vectorize, "picture": _picture,
}  # fmt: skip


def scenes_to_map(scenes: Sequence[Scene]) -> list[Scene]:
    """The scenes that a run maps: those of the test split and those without labels; all where there are none."""
    chosen = [s for s in scenes if s.split == "tst" or s.labels is None]
    return chosen or list(scenes)


def split_regions(project: Project) -> tuple[str, dict[str, Region]]:
    """The split that a run is scored on, and the label regions of its scenes: test, else (said so) validation."""
    for split in ("tst", "val"):
        found = {s.name: r for i, s in enumerate(project.scenes) if (r := project.region(i, split))}  # type: ignore[arg-type]
        if found:
            if split == "val":
                say("note: there is no test split; the score is of the validation pixels that chose the checkpoint")
            return split, found
    raise DataError("split-empty", project.path, "no scene is left to score", "mark rows with split=tst")


def map_picture(project: Project, image: Image, map_path: Path, target: Path, side: int = 1024) -> Path:
    """The published PNG of the top left part of a map: the image, the image with the map over it, the map."""
    from swath.core.windows import Window

    bands, legend = project.bands, read_map_info(map_path).legend or project.legend
    reader, drawn = open_image(image, bands), RasterReader(map_path, [1], "none")
    height, width = reader.grid.shape
    window = Window(0, 0, min(side, height), min(side, width))
    raw, valid = reader.read(window)
    ids, _ = drawn.read(window)
    table = np.full(65536, legend.ignore, legend.index_dtype)
    table[list(legend.ids)] = range(len(legend))
    indices = table[ids[0]]
    background = rgb(raw, valid, bands.names)
    return publish_png(
        target, side_by_side([background, overlay(background, indices, legend), coloured(indices, legend)])
    )


def _key(chain: Chain, name: str) -> str:
    """A hash of everything that decides a step's result."""
    project = chain.project
    sections = {
        "check": ("sources", "bands", "labels", "split", "sample", "classes"),
        "sample": ("sources", "bands", "labels", "split", "sample", "classes"),
        "train": ("sources", "bands", "labels", "split", "sample", "classes", "model", "augment", "train"),
        "evaluate": ("labels", "split", "predict", "classes"),
        "predict": ("predict",),
        "vectorize": ("predict", "vectorize"),
        "picture": ("predict",),
    }[name]
    made_of = project.fingerprint(*sections)
    if name in ("sample", "train") and project.config.train.store:
        made_of += load_training(project.path, chain.overrides).fingerprint()
    if name in ("evaluate", "predict", "vectorize", "picture"):
        best = chain.run / "best"
        made_of += read_bundle(best).identity if (best / "card.json").exists() else ""
    if name in ("vectorize", "picture"):  # made of the rasters themselves, whichever model they are of
        made_of += "".join(file_stamp(f) for f in _made_files(chain.results.get("predict", {})) if Path(f).is_file())
    return hashlib.sha256(f"{name} {made_of}".encode()).hexdigest()[:16]


def _is_done(chain: Chain, name: str, key: str) -> bool:
    done = _marks(chain).get(name)
    return done is not None and done["key"] == key and not changed_files(done)


def _mark(chain: Chain, name: str, key: str, result: dict[str, Any]) -> None:
    run, home = chain.run, chain.project.path.parent
    files = {
        "check": [], "sample": [Path(result.get("store", "")) / "card.json"], "evaluate": [run / "scores.json"],
        "train": [run / "train.json", run / "best" / "card.json", run / "last" / "card.json"],
        "predict": _made_files(result), "vectorize": result.get("vectors", []), "picture": [result.get("picture")],
    }[name]  # fmt: skip
    write_mark(run, home, name, key, [str(f) for f in files], result)


def _made_files(result: dict[str, Any]) -> list[str]:
    """The rasters that `predict` made."""
    return [m[k] for m in result.get("maps", []) for k in ("map", "confidence", "probabilities") if k in m]


def _marks(chain: Chain) -> dict[str, Any]:
    return read_marks(chain.run, chain.project.path.parent)


def _recall(chain: Chain, name: str) -> None:
    known = _marks(chain).get(name)
    if known:
        chain.results[name] = known["result"]


def _summary(chain: Chain, executed: list[str]) -> dict[str, Any]:
    results = chain.results
    return {
        "run": str(chain.run),
        "bundle": str(chain.run / "best"),
        "scores": results.get("evaluate"),
        "maps": results.get("predict", {}).get("maps", []),
        "vectors": results.get("vectorize", {}).get("vectors", []),
        "picture": results.get("picture", {}).get("picture"),
        "executed": executed,
    }
