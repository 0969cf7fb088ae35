"""Pixels with their labels, spread over the training scenes: enough to tell what each band says of the label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.splits import Region
from swath.disk.projects.project import Project
from swath.disk.sources.images import image_reader
from swath.disk.sources.probe import spread_windows

_SCENES, _PIXELS, _VALUES = 48, 600_000, 12_000_000  # of all scenes together


def label_pixels(
    project: Project, regions: Sequence[Sequence[Region]], numbers: Sequence[int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Raw pixels (C, n) of some bands (1-based) and their class indices (n,), scene by scene; memory is bounded.

    Raises DataError where an image or its labels cannot be read.
    """
    training = [i for i, parts in enumerate(regions) if any(r.split == "trn" for r in parts)]
    training = [i for i in training if max(numbers) <= project.infos[i].count]
    training = training[:: max(1, -(-len(training) // _SCENES))]
    most = min(_PIXELS, _VALUES // len(numbers))
    values, indices = [], []
    for i in training:
        info, bands = project.infos[i], project.config.bands
        reader = image_reader(project.scenes[i].image, numbers, bands.nodata, bands.nodata_value)
        labels = project.labels(i)
        for window in spread_windows(info, most // len(training), 4 * len(numbers)):
            (raw, valid), found = reader.read(window), labels.read(window)
            valid &= found != project.legend.ignore
            values.append(raw[:, valid])
            indices.append(found[valid])
    if not values:
        return np.empty((len(numbers), 0)), np.empty(0, np.int64)
    return np.concatenate(values, 1), np.concatenate(indices).astype(np.int64)
