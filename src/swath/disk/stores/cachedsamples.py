"""Samples kept where they are read faster: in memory, or as raw records on the disk of the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.samplers import Population
from swath.core.splits import Split
from swath.core.threads import OwnLock
from swath.core.windows import Window
from swath.disk.publish import make_directory, require_space, sweep
from swath.disk.stores.recordspool import RecordSpool
from swath.disk.stores.sample import Place, Sample, Samples, cut
from swath.disk.stores.schema import Schema
from swath.disk.stores.store import StoreSamples, publish_store, read_card
from swath.disk.stores.storecard import write_footprints


class KeptSamples(Samples):
    """The same samples, each kept in memory once it is read."""

    def __init__(self, base: Samples) -> None:
        self.base, self.direct = base, base.direct
        self.schema: Schema = base.schema
        self.places: Sequence[Place] = base.places
        self.scene_names: Sequence[str] = base.scene_names
        self.counts: NDArray[np.int64] = base.counts
        self._kept: dict[int, Sample] = {}
        self._lock = OwnLock()

    def read(self, index: int, part: Window | None = None) -> Sample:
        """One sample, or a window of it."""
        found = self._kept.get(index)
        if found is None:
            read = self.base.read(index)
            found = Sample(np.array(read.image), np.array(read.labels), np.array(read.valid))
            with self._lock:
                self._kept[index] = found
        return cut(found, part)

    def population(self, crop: int) -> Population:
        """That of the samples behind."""
        return self.base.population(crop)


class DiskSamples(StoreSamples):
    """Samples of a cache on disk that are drawn as those they were made of."""

    def __init__(self, directory: Path, split: Split, base: Samples) -> None:
        super().__init__(directory, split)
        self.base, self.direct = base, base.direct

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.directory.absolute(), self.split, self.base)

    def population(self, crop: int) -> Population:
        """That of the samples behind."""
        return self.base.population(crop)


def unpacked_store(source: Path, splits: Sequence[Split], directory: Path) -> None:
    """Makes the raw store in `directory` that holds the samples of a compressed one, unless it is there already."""
    card = read_card(source)
    if (directory / "card.json").exists() and read_card(directory)["fingerprint"] == card["fingerprint"]:
        return
    make_directory(directory)
    sweep(directory)
    parts = [StoreSamples(source, split) for split in splits]
    schema = Schema(**{**card["schema"], "codec": "none"})
    places = [p for samples in parts for p in samples.places]
    require_space(directory / "records.bin", len(places) * schema.record_bytes)
    spool = RecordSpool(directory, schema, places, str(card["fingerprint"]))
    try:
        numbered = [(samples, i) for samples in parts for i in range(len(samples.places))]
        for samples, i in numbered[spool.decided :]:
            spool.keep(schema.record(samples.read(i)), samples.counts[i])
        rest: dict[str, Any] = {k: v for k, v in card.items() if k not in ("swath", "version", "schema", "files", "sha256")}
        publish_store(directory, spool, rest, lambda index, part: write_footprints(index, card, part))
    except BaseException:
        spool.close(remove=False)
        raise
    spool.close(remove=True)
