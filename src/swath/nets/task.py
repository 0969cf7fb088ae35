"""What is learnt from: the samples of a project's store, or of its rasters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from swath.core.bands import Bands
from swath.core.errors import DataError
from swath.disk.project import SAMPLE_SECTIONS, Project, fit_bands
from swath.disk.sample import Samples
from swath.disk.store import StoreSamples


@dataclass
class Task:
    """What is learnt from: samples of both splits and the fitted bands."""

    train: Samples
    val: Samples
    bands: Bands
    bands_of: Callable[[int], Bands]
    source: str

    @property
    def pixels(self) -> NDArray[np.int64]:
        """Label pixels of the training split per class, int64 (C,)."""
        return self.train.counts.sum(0)


def project_task(project: Project) -> Task:
    """The samples of the store that the config names, or of the run's own where it was made and is wanted, else of the
    rasters. Raises DataError (store-missing, store-stale).
    """
    spec, store = project.config.train, project.store_dir
    if project.card is not None:
        assert spec.store is not None
        named = project.path.parent / spec.store
        return _store_task(StoreSamples(named, "trn"), StoreSamples(named, "val"))
    made = (store / "card.json").exists()
    if spec.data == "store" and not made:
        raise DataError(
            "store-missing", store, "there is no store", "make it: swath sample CONFIG, or set train.data=rasters"
        )
    if made and spec.data != "rasters":
        samples = StoreSamples(store, "trn")
        if samples.card["fingerprint"] != project.fingerprint(*SAMPLE_SECTIONS):
            raise DataError("store-stale", store, "was made with another config or other inputs",
                            "make it anew: swath sample CONFIG --overwrite, or set train.data=rasters")  # fmt: skip
        return _store_task(samples, StoreSamples(store, "val"))
    return _raster_task(project)


def _raster_task(project: Project) -> Task:
    from swath.disk.samples import RasterSamples, scene_bands  # GDAL is loaded only where rasters are read

    bands, _ = fit_bands(project)
    memory = project.config.runtime.memory
    train_, val = RasterSamples(project, "trn", memory), RasterSamples(project, "val", memory)
    train_.filter()
    val.filter()
    return Task(train_, val, bands, scene_bands(project, bands), "rasters")


def _store_task(train_: StoreSamples, val: StoreSamples) -> Task:
    bands = Bands.from_dict(train_.card["bands"])
    per_scene = [replace(bands, gain=tuple(g), offset=tuple(o)) for g, o in train_.card["scene_scaling"]]
    return Task(train_, val, bands, per_scene.__getitem__, "store")


def require_two_classes(project: Project, task: Task) -> None:
    """Nothing, or a DataError: from labels of a single class nothing can be learnt but a blank map."""
    if not task.train.places:
        fix = "lower sample.min_annotated or sample.class_min" if project.card is None else "name a store with samples of trn"
        raise DataError("samples-none", project.path, "there is no training sample", fix)
    seen = [name for name, count in zip(project.legend.names, task.pixels, strict=True) if count]
    if len(seen) < 2:
        raise DataError("classes-one", project.path, f"all training labels are {', '.join(seen) or 'ignored'}: there is "
                        "nothing to tell apart", "check the labels with `swath check`")  # fmt: skip
