"""Foreign layouts of samples: one file each, all in one table.

`FORMATS[name].read(path)` streams the samples of a layout, `FORMATS[name].write(samples, path)` makes one. A new format
is one file with `found`, `read` and `fill`, and one line here. Beside every layout stands `swath.json`, which foreign readers
pass over: bands, class table, ignore value and number of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from swath.core.errors import ConfigError, DataError, did_you_mean
from swath.disk.formats import folders, hdf5, lmdb, nnunet, patches_images, tfrecords, webdataset
from swath.disk.formats.foreign import (
    Facts,
    ForeignSample,
    ForeignSamples,
    Sum,
    read_card,
    told_sum,
    whole_patches,
    widened,
    with_legend,
    write_card,
)
from swath.disk.publish import publish

__all__ = ["FORMATS", "Facts", "ForeignSample", "ForeignSamples", "Format", "format_of", "named_format"]
Kept = Literal["names", "georeference", "masks", "patch labels"]


@dataclass(frozen=True)
class Format:
    """A layout: how it is `found`, read and filled, what it `keeps` beside pixels and labels, and its extra."""

    found: Callable[[Path], bool]
    reader: Callable[[Path], ForeignSamples]
    fill: Callable[[ForeignSamples, Path], dict[str, Any] | None]
    keeps: frozenset[Kept]
    extra: str | None = None

    def read(self, path: str | Path) -> ForeignSamples:
        """The samples of the layout at `path`, streamed each time they are iterated over; nothing is changed there.

        Raises DataError (file-missing, format-malformed, pairs-mismatch, format-unsafe), here or while iterating, and
        ConfigError (extra-missing).
        """
        path = Path(path)
        if not path.is_dir():
            raise DataError("file-missing", path, "no such directory", "name the directory of the samples")
        return widened(replace(self.reader(path), told=told_sum(read_card(path)[1])))

    def write(self, samples: ForeignSamples, path: str | Path) -> Path:
        """The layout at `path`, read back and compared pixel by pixel before it appears under its name.

        Raises DataError (write-unverified, or what the reader of `samples` raises), ResourceError, and ConfigError
        (extra-missing) where a package is not installed.
        """
        samples = with_legend(samples)
        if "patch labels" in self.keeps:
            samples = whole_patches(samples)
        written = [Sum()]

        def counted() -> Iterator[ForeignSample]:
            written[0] = Sum(masks="masks" in self.keeps)  # a writer may pass over the samples more than once
            for s in samples:
                written[0] = written[0].plus(s, samples.facts.ignore)
                yield s

        def verify(part: Path) -> None:
            try:
                for _ in self.read(part):
                    pass
            except DataError as e:
                raise DataError("write-unverified", path, f"what was written cannot be read back: {e.message}",
                                "check the disk") from e  # fmt: skip

        def write(part: Path) -> None:
            more = self.fill(replace(samples, stream=counted, told=None), part)
            told = {"crc": f"{written[0].total:016x}", "masks": written[0].masks}
            write_card(part, samples.facts, count=written[0].count, sum=told, **(more or {}))

        return publish(path, write, verify=verify)


_ALL: frozenset[Kept] = frozenset({"names", "georeference", "masks"})
_PLACED: frozenset[Kept] = frozenset({"names", "georeference"})
_NAMED: frozenset[Kept] = frozenset({"names"})

FORMATS: dict[str, Format] = {
    "folders": Format(folders.found, folders.read, folders.fill, _ALL),
    "webdataset": Format(webdataset.found, webdataset.read, webdataset.fill, _ALL),
    "hdf5": Format(hdf5.found, hdf5.read, hdf5.fill, _PLACED, "hdf5"),
    "lmdb": Format(lmdb.found, lmdb.read, lmdb.fill, _NAMED, "lmdb"),
    "tfrecords": Format(tfrecords.found, tfrecords.read, tfrecords.fill, _ALL),
    "patches-images": Format(patches_images.found, patches_images.read, patches_images.fill, frozenset({"patch labels"})),
    "nnunet": Format(nnunet.found, nnunet.read, nnunet.fill, _PLACED),
}


def named_format(name: str) -> Format:
    """The format of a name. Raises ConfigError (format-unknown) with the closest name."""
    if name not in FORMATS:
        raise ConfigError("format-unknown", "convert", f"no format '{name}'", did_you_mean(name, [*FORMATS, "store"]))
    return FORMATS[name]


def format_of(path: Path) -> str:
    """The name of the format that a path holds. Raises DataError where it is none or could be several."""
    hits = [name for name, f in FORMATS.items() if f.found(path)]
    if len(hits) == 1:
        return hits[0]
    what = f"could be {' or '.join(hits)}" if hits else "is no known layout of samples"
    raise DataError("format-unclear", path, what, f"name its format: {', '.join(FORMATS)}")
