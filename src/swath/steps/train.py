"""The result of `swath train` is a model bundle (best and last) in a run directory, with its curves and evidence."""

from __future__ import annotations

import json
import platform
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import swath
from swath.core.errors import DataError, ResourceError
from swath.core.legend import Legend
from swath.core.samplers import unseen_classes
from swath.disk.bundle import Bundle, read_bundle, write_bundle
from swath.disk.pictures import publish_png
from swath.disk.projects.lock import only_one
from swath.disk.projects.project import SAMPLE_SECTIONS, SCENE_SECTIONS, Project
from swath.disk.publish import make_directory, publish_json, publish_text, sweep
from swath.disk.remote.access import redacted
from swath.messages import say, table, warn
from swath.nets import loop
from swath.nets.augment import ORDER, AugmentOptions
from swath.nets.batches import Batches, Scaler
from swath.nets.checkpoint import load_checkpoint, save_checkpoint
from swath.nets.device import choose_device, choose_precision, cores, reading_threads, set_threads
from swath.nets.losses import build_loss
from swath.nets.network import load_tensors, make_probe, model_card, new_net, numpy_tensors
from swath.nets.optimisers import DEFAULT_LR, build_optimiser
from swath.nets.portraits import publish_curves, validation_picture
from swath.nets.task import Task, project_task, require_batch, require_two_classes
from swath.nets.waiting import WaitMeter, waiting_advice
from swath.progress import Progress

CHECKPOINT_SECONDS = 60.0
NEVER_PREDICTED = 3  # evaluations after which a class that is never predicted is warned about


@dataclass
class Session:
    """A training under way: the files of its run and what it has seen so far."""

    project: Project
    run: Path
    task: Task
    learner: loop.Learner
    batches: Batches
    card: dict[str, Any]
    meter: WaitMeter
    state: dict[str, Any] = field(default_factory=dict)
    evidence: list[dict[str, Any]] = field(default_factory=list)

    @property
    def legend(self) -> Legend:
        """The class table."""
        return self.project.legend


def train(project: Project, *, resume: bool = False, overwrite: bool = False) -> dict[str, Any]:
    """The trained bundle: `run`, `bundle`, `bundle_last`, `best` {epoch, step, mean_iou}, `steps`, `seconds`.

    A finished run of the same config is kept as it is. An unfinished one goes on from its checkpoint with `resume`
    to the result it would have had. Another config's run is refused, naming the keys, without `overwrite`.
    Raises ConfigError, DataError, ResourceError.
    """
    run = project.run_dir
    with only_one(run, "training") if run.is_dir() else nullcontext():
        done = _existing(project, run, resume=resume, overwrite=overwrite)
    if done is not None:
        return done
    threads = set_threads(project.config.runtime.threads)
    session = _session(project, run)
    with only_one(run, "training"):
        restored = load_checkpoint(run / "checkpoint", session.learner) if resume else None
        if restored is None:
            _begin(session, threads)
        else:
            _go_on(session, restored)
        _publish_settings(project, run)
        _loop(session)
        return _finish(session)


def _existing(project: Project, run: Path, *, resume: bool, overwrite: bool) -> dict[str, Any] | None:
    """The result of a finished run of this config, or None where training is to begin or go on."""
    marker = run / "train.json"
    resolved = run / "config.resolved.json"
    if overwrite:
        for stale in (marker, run / "checkpoint" / "state.json", run / "metrics.jsonl", run / "best" / "card.json",
                      run / "last" / "card.json"):  # fmt: skip
            stale.unlink(missing_ok=True)
        return None
    begun = next((_known(f) for f in (marker, run / "checkpoint" / "state.json") if f.exists()), None)
    if begun is None:
        return None
    if resolved.exists() and (changed := _changed_keys(_known(resolved), training_config(project))):
        raise ResourceError("run-exists", run, f"was trained with other settings: {', '.join(changed[:6])}",
                            "add --overwrite to replace it, or set output=DIR")  # fmt: skip
    if begun.get("inputs", (now := project.fingerprint(*SAMPLE_SECTIONS))) != now:
        raise ResourceError("run-exists", run, "was trained on other inputs: files or rows of the manifest have changed",
                            "add --overwrite to train anew, or set output=DIR")  # fmt: skip
    if marker.exists():
        for lost in (name for name in ("best", "last") if not (run / name / "card.json").exists()):
            raise DataError("run-incomplete", run / lost, "is missing from a finished training", "train anew with --overwrite")
        return {**begun, "run": str(run), "bundle": str(run / "best"), "bundle_last": str(run / "last"),
                "already_done": True}  # fmt: skip
    if not resume:
        raise ResourceError("run-unfinished", run, "holds an unfinished training",
                            "add --resume to go on, or --overwrite to begin anew")  # fmt: skip
    return None


def _known(file: Path) -> dict[str, Any]:
    """What a file of the run says. Raises DataError where it is damaged."""
    try:
        found = json.loads(file.read_text("utf-8"))
    except ValueError as e:
        raise DataError("run-corrupt", file, "is not valid JSON", "train anew with --overwrite") from e
    if not isinstance(found, dict):
        raise DataError("run-corrupt", file, "is not as it was written", "train anew with --overwrite")
    return found


def training_config(project: Project) -> dict[str, Any]:
    """The sections of the config that decide what is learnt, as plain values."""
    dumped = project.config.model_dump(mode="json")
    dumped["scenes"] = json.loads(redacted(json.dumps(dumped["scenes"])))
    sections = ("scenes", "classes", "sources", "bands", "labels", "split", "sample", "model", "augment", "train")
    if project.card is None:
        return {k: dumped[k] for k in sections}
    made = {"records": project.fingerprint()}  # the store's name alone does not tell what it holds
    return {k: dumped[k] for k in sections if k not in (*SCENE_SECTIONS, "scenes")} | {"store": made}


def _changed_keys(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key in sorted(set(old) | set(new)):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _changed_keys(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}")
    return found


def _session(project: Project, run: Path) -> Session:
    spec = project.config.train
    device = choose_device(project.config.runtime.device)
    task = project_task(project)
    require_two_classes(project, task)
    threads = reading_threads(project.config.runtime.workers)
    require_batch(project, task, threads)
    net = new_net(project.config.model, len(task.bands), project.legend, task.pixels, spec.seed).to(device)
    if spec.init_from:
        load_tensors(net, read_bundle(project.path.parent / spec.init_from).tensors(), spec.init_from)
    weights = loop.class_weight_list(spec.class_weights, project.legend.names, task.pixels)
    base_lr = spec.lr or DEFAULT_LR[spec.optimizer] if spec.optimizer in DEFAULT_LR else spec.lr or 1e-3
    options = AugmentOptions.default() if project.config.augment.preset == "default" else AugmentOptions.none()
    learner = loop.Learner(
        net=net.train(),
        optimiser=build_optimiser(spec.optimizer, net, base_lr, spec.weight_decay),
        loss=build_loss(spec.loss, ignore=project.legend.ignore, class_weights=weights),
        scaler=Scaler(task.bands_of, device),
        augmentation=replace(options, **project.config.augment.given()),
        spec=spec,
        ignore=project.legend.ignore,
        device=device,
        precision=choose_precision(spec.precision, device),
        base_lr=base_lr,
        plain=task.bands.plain,
        scene_names=task.train.scene_names,
    )
    batches = Batches(
        task.train, crop=project.crop, batch_size=spec.batch_size, seed=spec.seed, ignore=project.legend.ignore,
        stride=int(net.stride), sampler=_sampler(project, task),  # type: ignore[arg-type]
        workers=threads, pinned=device.type == "cuda",
    )  # fmt: skip
    make_directory(run)
    sweep(run)
    meter = WaitMeter(waiting_advice(task.source, task.train.schema.codec, spec.cache, threads, cores()))
    return Session(project, run, task, learner, batches, _card(project, net, task), meter)


def _sampler(project: Project, task: Task) -> str:
    """The sampler of the config, or the one that suits where samples come from; warns of classes that it cannot draw."""
    name = project.config.train.sampler
    if name == "auto":
        name = "blocks" if task.train.direct else "uniform"
        why = "samples are decoded from rasters at every read" if task.train.direct else "every sample once an epoch"
        project.reasons.append(("train.sampler", name, why))
    unseen = unseen_classes(task.train.counts, project.legend.names)
    if unseen and name not in ("uniform", "blocks"):
        warn(f"no training sample holds {', '.join(repr(c) for c in unseen)}: train.sampler={name} draws from the other classes")
    return name


def _card(project: Project, net: torch.nn.Module, task: Task) -> dict[str, Any]:
    """The parts of the bundle's card that training does not change."""
    sources = project.config.inputs()
    return {
        "name": project.path.stem,
        "model": model_card(project.config.model, net, len(task.bands)),
        "bands": task.bands.as_dict(),
        **(
            {"sources": {n: s.model_dump(mode="json", exclude_defaults=True) for n, s in sources.items()}}
            if sources
            else {}
        ),
        "legend": project.legend.as_dict(),
        "seen": task.seen,
        "provenance": {
            "swath": swath.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "config": training_config(project),
            "inputs": project.fingerprint(*SAMPLE_SECTIONS),
            "training_pixels": task.pixels.tolist(),
            "threads": torch.get_num_threads(),
            "device": str(choose_device(project.config.runtime.device)),
        },
    }


def _begin(session: Session, threads: int) -> None:
    """Fixes the number of steps and writes the first line of the metrics."""
    learner, batches, spec = session.learner, session.batches, session.project.config.train
    measured: list[float] = []

    def measure(limit: float) -> tuple[float, float]:
        each, spent = loop.measure_step(learner, batches, limit)
        measured.append(spent)
        return each, spent

    learner.total = loop.planned_steps(spec, batches.per_epoch, measure)
    if not session.task.val.places:
        fix = "raise split.val, or draw points with a split" if session.project.card is None else "name a store with val samples"
        raise DataError("split-empty", session.project.path, "there is no validation sample", fix)
    session.state = {
        "step": 0, "total": learner.total, "seconds": sum(measured), "threads": threads,
        "best": None, "since_best": 0, "never": [0] * len(session.legend), "inputs": session.card["provenance"]["inputs"],
    }  # fmt: skip
    (session.run / "metrics.jsonl").unlink(missing_ok=True)


def _go_on(session: Session, restored: dict[str, Any]) -> None:
    """Takes the state of a checkpoint and cuts the metrics back to its step."""
    session.state = {k: v for k, v in restored.items() if k not in ("tensors", "optimiser_scalars", "evidence")}
    session.evidence = restored.get("evidence", [])
    session.learner.total = restored["total"]
    file = session.run / "metrics.jsonl"
    if file.exists():
        lines = [line for line in file.read_text("utf-8").splitlines() if _step_of(line) <= restored["step"]]
        publish_text(file, "".join(f"{line}\n" for line in lines))


def _step_of(line: str) -> float:
    """The step of a metrics line; a line cut short by a kill belongs to no step."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return float("inf")


def _loop(session: Session) -> None:
    """All remaining steps, with evaluations spread evenly and a checkpoint at each of them and every minute."""
    state, learner, batches = session.state, session.learner, session.batches
    total, count = state["total"], session.project.config.train.evaluations
    due = {round((i + 1) * total / count) for i in range(count)} | {total}
    saved, losses = time.monotonic(), []
    patience = session.project.config.train.patience
    with Progress("train", total, "steps") as progress, closing(batches.ahead(state["step"])) as feed:
        progress.resume(state["step"])
        for step in range(state["step"], total):
            if patience and state["since_best"] >= patience:
                break
            before, waited = time.monotonic(), batches.waited
            losses.append(learner.step(next(feed), step))
            spent = time.monotonic() - before
            state["seconds"] += spent
            told = session.meter.add(batches.waited - waited, spent)
            if told:
                say(told)
            state["step"] = step + 1
            progress.advance(1, f"loss {losses[-1]:.4f}")
            if step + 1 in due:
                _evaluate(session, losses)
                losses = []
            if step + 1 in due or time.monotonic() - saved > CHECKPOINT_SECONDS:
                save_checkpoint(session.run / "checkpoint", learner, {**state, "evidence": session.evidence})
                saved = time.monotonic()


def _evaluate(session: Session, losses: list[float]) -> None:
    """Scores the validation samples, writes the metrics line and evidence, and publishes the bundles."""
    learner, state, legend = session.learner, session.state, session.legend
    started = time.monotonic()
    with learner.averaged():
        found = loop.evaluate_samples(learner, session.task.val, len(legend))
        scores = found.confusion.scores(legend.names, legend.background)
        epoch = state["step"] / session.batches.per_epoch
        line = {
            "step": state["step"], "epoch": round(epoch, 3), "seconds": round(state["seconds"], 2),
            "train_loss": round(float(np.mean(losses)), 6) if losses else None, "val_loss": round(found.loss, 6),
            "mean_iou": scores["mean_iou"], "mean_iou_foreground": scores["mean_iou_foreground"],
            "overall_accuracy": scores["overall_accuracy"],
            "iou": {k: v["iou"] for k, v in scores["classes"].items()}, "lr": learner.lr(state["step"] - 1),
            "evaluation_seconds": round(time.monotonic() - started, 2), "waiting_seconds": round(session.batches.waited, 3),
            "waiting_seconds_share": session.meter.taken(),
        }  # fmt: skip
        _append(session.run / "metrics.jsonl", line)
        session.evidence.append({
            "step": state["step"], "input_quantiles": found.input_quantiles,
            "label_shares": [round(float(c) / max(found.confusion.total, 1), 6) for c in found.confusion.counts.sum(1)],
            "predicted_shares": loop.predicted_shares(found.confusion),
        })  # fmt: skip
        _watch(session, found.confusion)
        _keep(session, line, scores)
    publish_json(session.run / "evidence.json", session.evidence)


def _watch(session: Session, confusion: Any) -> None:
    """Warns about classes that are in the labels but were never predicted for some evaluations."""

    for i, name in enumerate(session.legend.names):
        absent = confusion.counts[i].sum() > 0 and confusion.counts[:, i].sum() == 0
        session.state["never"][i] = session.state["never"][i] + 1 if absent else 0
        if session.state["never"][i] == NEVER_PREDICTED:
            warn(f"class '{name}' was not predicted once in {NEVER_PREDICTED} evaluations; "
                 "see class shares in evidence.json, try train.class_weights=auto or train.loss={ce: 1, dice: 1}")  # fmt: skip


def _keep(session: Session, line: dict[str, Any], scores: dict[str, Any]) -> None:
    """Publishes the last bundle, and the best where the monitored score is better than ever."""
    state, spec = session.state, session.project.config.train
    value = -line["val_loss"] if spec.monitor == "loss" else (scores[spec.monitor] or 0.0)
    better = state["best"] is None or value > state["best"]["value"] + spec.min_delta
    state["since_best"] = 0 if better else state["since_best"] + 1
    summary = {"epoch": line["epoch"], "step": line["step"], "mean_iou": line["mean_iou"], "value": value}
    if better:
        state["best"] = summary
        _publish_bundle(session, "best", summary, scores)
    if state["step"] >= state["total"]:
        _publish_bundle(session, "last", summary, scores)


def _publish_bundle(session: Session, name: str, summary: dict[str, Any], scores: dict[str, Any]) -> Bundle:
    sample = session.task.val.read(0)
    stride = int(session.learner.net.stride)  # type: ignore[arg-type]
    side = max(stride, min(sample.labels.shape[0], 128) // stride * stride)
    over = max(0, side - sample.labels.shape[0])  # samples smaller than the stride are filled up with invalid pixels
    raw = np.pad(sample.image[:, :side, :side], ((0, 0), (0, over), (0, over)))
    valid = np.pad(sample.valid[:side, :side], (0, over))
    bands = session.task.bands_of(session.task.val.places[0].scene)
    probe = make_probe(session.learner.net, raw, valid, bands.scale(raw, valid))
    card = {**session.card, "training": {**summary, "validation": scores}}
    return write_bundle(session.run / name, card, numpy_tensors(session.learner.net), probe)


def _finish(session: Session) -> dict[str, Any]:
    state, run = session.state, session.run
    if not (run / "last" / "card.json").exists():  # stopped early: the last evaluation is the last bundle
        with session.learner.averaged():
            found = loop.evaluate_samples(session.learner, session.task.val, len(session.legend))
            scores = found.confusion.scores(session.legend.names, session.legend.background)
            summary = {
                "epoch": state["step"] / session.batches.per_epoch,
                "step": state["step"],
                "mean_iou": scores["mean_iou"],
            }
            _publish_bundle(session, "last", summary, scores)
    publish_json(run / "evidence.json", session.evidence)
    load_tensors(session.learner.net, read_bundle(run / "best").tensors(), run / "best")
    publish_png(run / "validation.png", validation_picture(session.learner, session.task, session.legend))
    publish_curves(run)
    result = {
        "best": {k: state["best"][k] for k in ("epoch", "step", "mean_iou")},
        "steps": state["step"],
        "seconds": round(state["seconds"], 2),
        "seconds_waiting_for_data": round(session.batches.waited, 2),
        "data": session.task.source,
        "inputs": session.card["provenance"]["inputs"],
        "machine": {"python": platform.python_version(), "threads": torch.get_num_threads()},
    }
    publish_json(run / "train.json", result)
    return {
        "run": str(run),
        "bundle": str(run / "best"),
        "bundle_last": str(run / "last"),
        **result,
        "already_done": False,
    }


def _publish_settings(project: Project, run: Path) -> None:
    publish_json(run / "config.resolved.json", training_config(project))
    rows = [{"key": k, "value": _plain(v), "because": why} for k, v, why in project.settle()]
    rows.append({"key": "augment (order)", "value": ", ".join(ORDER), "because": "always: geometry of image and labels, then values"})
    publish_json(run / "settings.json", rows)
    say(table([(r["key"], r["value"], r["because"]) for r in rows], ["left out", "value", "because"]))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _append(file: Path, line: dict[str, Any]) -> None:
    """Appends one line of JSON; a line cut short by a kill is dropped when the run goes on."""
    with file.open("a", encoding="utf-8") as log:  # append-only log, not a published output
        log.write(json.dumps(line) + "\n")
