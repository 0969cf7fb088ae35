"""Claim: the demo's town needs context: a random forest on raw pixels stays well below the network on the same scenes.

Usage: forest.py DEMO_DIR (made by `swath demo`). Trains 100 trees on 200,000 balanced training pixels, maps the test scene
and prints one JSON line with both mean IoUs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from swath.core.metrics import Confusion
from swath.core.windows import Window
from swath.disk.projects.project import Project, load_project


def pixels(project: Project, split: str) -> tuple[np.ndarray, np.ndarray]:
    """All pixels (n, C) and class indices (n,) of a split's scenes."""
    x, y = [], []
    for i, scene in enumerate(project.scenes):
        if scene.split == split:
            window = Window(0, 0, *project.infos[i].grid.shape)
            raw, _ = project.reader(i).read(window)
            x.append(raw.reshape(len(raw), -1).T)
            y.append(project.labels(i).read(window).ravel())
    return np.concatenate(x), np.concatenate(y)


def balanced(y: np.ndarray, total: int, seed: int = 0) -> np.ndarray:
    """Positions of equally many pixels of each class."""
    rng = np.random.default_rng(seed)
    classes = np.unique(y)
    return np.concatenate([rng.choice(np.flatnonzero(y == c), min(total // len(classes), (y == c).sum()), replace=False)
                           for c in classes])  # fmt: skip


def main() -> None:
    demo = Path(sys.argv[1])
    project = load_project(demo / "town.yaml")
    x, y = pixels(project, "trn")
    pick = balanced(y, 200_000)
    forest = RandomForestClassifier(100, n_jobs=-1, random_state=0).fit(x[pick], y[pick])
    x, y = pixels(project, "tst")
    found = np.concatenate([forest.predict(part) for part in np.array_split(x, 16)])
    names = project.legend.names
    scores = Confusion.of(y, found, len(names)).scores(names)
    network = json.loads((demo / "run" / "scores.json").read_text("utf-8"))
    print(json.dumps({"benchmark": "forest", "forest_mean_iou": round(scores["mean_iou"], 4),
                      "network_mean_iou": round(network["mean_iou"], 4),
                      "difference": round(network["mean_iou"] - scores["mean_iou"], 4)}))  # fmt: skip


if __name__ == "__main__":
    main()
