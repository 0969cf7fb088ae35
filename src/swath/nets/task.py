"""What is learnt from: the samples of a project's store, or of its rasters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.bands import Bands
from swath.core.errors import ConfigError, DataError
from swath.core.grid import Grid
from swath.core.splits import Split
from swath.disk.projects.project import SAMPLE_SECTIONS, Project, fit_bands
from swath.disk.rasters.crs import metres_per_pixel
from swath.disk.stores.cachedsamples import DiskSamples, KeptSamples, unpacked_store
from swath.disk.stores.sample import Samples
from swath.disk.stores.store import StoreSamples, read_card
from swath.nets.batches import kept_batches
from swath.specs import RuntimeSpec

LEARNT: tuple[Split, ...] = ("trn", "val")  # splits: the test split is evaluate's alone


@dataclass
class Task:
    """What is learnt from: samples of both splits and the fitted bands.

    `seen`: what other images are compared with, `p2`, `p50` and `p98` of each band and `pixel_m` (None without place).
    """

    train: Samples
    val: Samples
    bands: Bands
    bands_of: Callable[[int], Bands]
    source: str
    seen: dict[str, Any] = field(default_factory=dict)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """Label pixels of the training split per class, int64 (C,)."""
        return self.train.counts.sum(0)


def project_task(project: Project) -> Task:
    """The samples of the store that the config names, or of the run's own where it was made and is wanted, else of the
    rasters; kept where `train.cache` says. Raises DataError (store-missing, store-stale).
    """
    spec, store = project.config.train, project.store_dir
    if project.card is not None:
        assert spec.store is not None
        return _store_task(project, project.path.parent / spec.store)
    made = (store / "card.json").exists()
    if spec.data == "store" and not made:
        raise DataError(
            "store-missing", store, "there is no store", "make it: swath sample CONFIG, or set train.data=rasters"
        )
    if made and spec.data != "rasters":
        if read_card(store)["fingerprint"] != project.fingerprint(*SAMPLE_SECTIONS):
            raise DataError("store-stale", store, "was made with another config or other inputs",
                            "make it anew: swath sample CONFIG --overwrite, or set train.data=rasters")  # fmt: skip
        return _store_task(project, store)
    return _raster_task(project)


def _raster_task(project: Project) -> Task:
    from swath.disk.samples.packing import pack  # GDAL is loaded only where rasters are read
    from swath.disk.samples.plan import scene_bands
    from swath.disk.samples.rastersamples import RasterSamples

    memory, cache = project.config.runtime.memory, project.config.train.cache
    bands, statistics = fit_bands(project)
    grids = [i.grid for n, i in enumerate(project.infos) if project.region(n, "trn")]
    seen = _seen(statistics.as_dict(), grids)
    parts = [RasterSamples(project, split, memory, cache) for split in LEARNT]
    if cache == "disk":
        directory = _cache(project)
        print_ = project.fingerprint(*SAMPLE_SECTIONS)
        if not (directory / "card.json").exists() or read_card(directory)["fingerprint"] != print_:
            pack(project, directory, print_, LEARNT, "none")
        kept = [DiskSamples(directory, split, base) for split, base in zip(LEARNT, parts, strict=True)]
        return Task(kept[0], kept[1], bands, scene_bands(project, bands), "rasters, kept on disk", seen)
    return Task(parts[0], parts[1], bands, scene_bands(project, bands), "rasters", seen)


def _store_task(project: Project, store: Path) -> Task:
    card, cache = read_card(store), project.config.train.cache
    bands = Bands.from_dict(card["bands"])
    per_scene = [replace(bands, gain=tuple(g), offset=tuple(o)) for g, o in card["scene_scaling"]]
    if cache == "disk" and card["schema"].get("codec", "none") != "none":
        unpacked_store(store, LEARNT, _cache(project))
        store = _cache(project)
    parts: list[Samples] = [StoreSamples(store, split) for split in LEARNT]
    if cache == "ram":
        parts = [KeptSamples(samples) for samples in parts]
    trained = sorted({place.scene for place in parts[0].places})
    seen = _seen(card["statistics"], [Grid.from_dict(card["grids"][n]) for n in trained])
    return Task(parts[0], parts[1], bands, per_scene.__getitem__, "store", seen)


def _seen(statistics: Mapping[str, Any], grids: Sequence[Grid]) -> dict[str, Any]:
    """The ranges of the training pixels' bands, and the usual side of a pixel in metres."""
    sizes = [(m[0] * m[1]) ** 0.5 for g in grids if (m := metres_per_pixel(g)) is not None]
    pixel_m = round(float(np.median(sizes)), 4) if sizes else None
    return {**{k: statistics[k] for k in ("p2", "p50", "p98")}, "pixel_m": pixel_m}


def _cache(project: Project) -> Path:
    return project.run_dir / "cache.store"


def require_two_classes(project: Project, task: Task) -> None:
    """Nothing, or a DataError: from labels of a single class nothing can be learnt but a blank map."""
    if not task.train.places:
        fix = "lower sample.min_annotated or sample.class_min, or use sample.edge=shift"
        fix = fix if project.card is None else "name a store with samples of trn"
        raise DataError("samples-none", project.path, "there is no training sample", fix)
    seen = [name for name, count in zip(project.legend.names, task.pixels, strict=True) if count]
    if len(seen) < 2:
        raise DataError("classes-one", project.path, f"all training labels are {', '.join(seen) or 'ignored'}: there is "
                        "nothing to tell apart", "check the labels with `swath check`")  # fmt: skip


def require_batch(project: Project, task: Task, threads: int) -> None:
    """Nothing, or a ConfigError: the batches that are read ahead must fit in `runtime.memory`, or in its default."""
    schema, spec = task.train.schema, project.config.train
    size = schema.record_bytes / schema.side**2 * project.crop**2 * spec.batch_size * kept_batches(threads)
    most = max(project.config.runtime.memory, RuntimeSpec().memory)
    if size > most:
        raise ConfigError("batch-memory", "train.batch_size", f"batches of {spec.batch_size:,} crops of {project.crop} pixels, read "
                          f"ahead, take {size / 1e9:,.1f} GB, more than the {most / 1e9:,.1f} GB of runtime.memory",
                          "use a smaller train.batch_size or train.crop, or raise runtime.memory")  # fmt: skip
