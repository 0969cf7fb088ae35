"""Claim: a four-line config reaches at least the plain recipe's test IoU at equal training seconds, without pretraining.

Usage: quality.py DATA_DIR RECIPE.py [massachusetts:10 cells:5 ...]; each task is trained by both, one after the other, for
the given minutes. Prints one JSON line per task: IoU of class 1 on the test split, steps and training seconds of both.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import swath

CLASSES = {
    "massachusetts": '{field: class, 1: {name: building, color: "#efcd08"}}',
    "kampala": '{1: {name: building, color: "#efcd08"}}',
    "cells": '{1: {name: cell, color: "#efcd08"}}',
}


def swath_side(task: str, minutes: float, data: Path, work: Path) -> dict:
    """Test IoU of Swath with a four-line config."""
    config = work / f"{task}.yaml"
    config.write_text(f"scenes: {data / task / 'scenes.csv'}\nclasses: {CLASSES[task]}\n")
    trained = swath.train(config, f"train.budget={minutes * 60:.0f}s", *OVERRIDES)
    scores = swath.evaluate(trained["bundle"], data / task / "scenes.csv", split="tst")
    name = list(scores["classes"])[1]
    return {"iou": round(scores["classes"][name]["iou"], 4), "steps": trained["steps"], "seconds": trained["seconds"],
            "validation": round(trained["best"]["mean_iou"], 4), "bundle": trained["bundle"]}  # fmt: skip


def recipe_side(task: str, minutes: float, recipe: Path) -> dict:
    """Test IoU of the recipe: its last line, and all the ones before."""
    done = subprocess.run(
        [sys.executable, str(recipe), task, str(minutes), "resnet18"], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {"iou": lines[-1]["iou"], "steps": lines[-1]["steps"], "each_minute": [x["iou"] for x in lines[:-1]]}


def main() -> None:
    data, recipe = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
    for item in sys.argv[3:] or ["massachusetts:10", "cells:5"]:
        if "=" in item:
            continue
        task, _, minutes = item.partition(":")
        with tempfile.TemporaryDirectory() as work:
            ours = swath_side(task, float(minutes), data, Path(work))
        theirs = recipe_side(task, float(minutes), recipe)
        print(json.dumps({"benchmark": "quality", "task": task, "minutes": float(minutes), "swath": ours, "recipe": theirs,
                          "difference": round(ours["iou"] - theirs["iou"], 4)}), flush=True)  # fmt: skip


OVERRIDES = [a for a in sys.argv[3:] if "=" in a]

if __name__ == "__main__":
    main()
