"""Pictures of a training: what the network makes of the validation samples, and its curves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from swath.core.legend import Legend
from swath.disk.charts import as_they_are, publish_figure
from swath.disk.pictures import Picture, coloured, rgb, side_by_side, stacked
from swath.nets.batches import numpy_batch
from swath.nets.loop import Learner
from swath.nets.network import class_indices
from swath.nets.task import Task


def validation_picture(learner: Learner, task: Task, legend: Legend, count: int = 4) -> Picture:
    """Image, label and prediction of the learner's network, one row per sample, at most `count`."""
    val = task.val
    learner.net.eval()
    rows = []
    stride = int(learner.net.stride)  # type: ignore[arg-type]
    for i in np.linspace(0, len(val.places) - 1, min(count, len(val.places))).astype(int):
        parts = numpy_batch(val.read(int(i)))
        x = learner.scaler(parts["image"], parts["valid"], [val.places[i].scene])
        h, w = x.shape[2:]
        x = torch.nn.functional.pad(x, (0, -w % stride, 0, -h % stride))
        with torch.inference_mode():
            predicted = class_indices(learner.net(x)[:, :, :h, :w].float())[0].cpu().numpy()
        image = rgb(parts["image"][0].numpy(), parts["valid"][0].numpy(), task.bands.names)
        labels = coloured(parts["labels"][0].numpy(), legend)
        rows.append(side_by_side([image, labels, coloured(predicted, legend)]))
    return stacked(rows)


def publish_curves(run: Path) -> Path:
    """The published `curves.png` of a run's `metrics.jsonl`: losses and validation IoU over the steps."""
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    steps = [line["step"] for line in lines]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for key, name in (("train_loss", "training"), ("val_loss", "validation")):
        left.plot(steps, [line[key] for line in lines], marker=".", label=name)
    left.set(xlabel="step", ylabel="loss")
    left.legend()
    names = list(lines[-1]["iou"])
    for name in names:
        right.plot(steps, [line["iou"][name] for line in lines], linewidth=1, alpha=0.6)
    right.plot(steps, [line["mean_iou"] for line in lines], color="black", marker=".")
    right.set(xlabel="step", ylabel="validation IoU", ylim=(0, 1))
    right.legend(right.get_lines(), as_they_are([*names, "mean"]), fontsize="small")
    return publish_figure(run / "curves.png", figure)
