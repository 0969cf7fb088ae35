"""The result of `swath demo` is a generated town with its config: everything that `swath run` needs."""

from __future__ import annotations

from pathlib import Path

from swath.disk.publish import publish_text
from swath.disk.town.build import CLASSES, write_town

BUDGET = "125s"
SCENES = {"north": "trn", "east": "trn", "south": "tst", "west": "val"}


def write_demo(directory: Path, *, seed: int = 0, size: int = 768) -> Path:
    """The config of the demo beside its generated scenes and labels; four scenes, two of them for training."""
    write_town(directory / "scenes", seed=seed, size=size, scenes=SCENES)
    classes = "\n".join(f'  {i}: {{name: {name}, color: "{color}"}}' for i, (name, color) in CLASSES.items())
    text = f"""# A generated town: four scenes in different places: two to learn from, one to watch the training, one to map.
# swath run town.yaml
scenes: scenes/scenes.csv
classes:
  field: class
{classes}
model: {{width: 24}}              # small enough for two cores
train: {{budget: {BUDGET}, batch_size: 4, evaluations: 4, lr: 0.002}}
predict: {{save: [classes, confidence]}}
output: run
"""
    return publish_text(directory / "town.yaml", text)
