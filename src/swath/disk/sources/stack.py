"""An image that is more than one file: files of bands, sources of other resolutions, planes made of vectors or numbers.

A `Stack` stands wherever the path of an image stands; `disk.images` opens both. Nothing is read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

Resample = Literal["nearest", "bilinear", "cubic", "average"]


@dataclass(frozen=True)
class Files:
    """Rasters of one grid, their bands one after the other; `names` of the files' bands where something tells them.

    Off the reference grid they are resampled. `bands` are chosen from those of all files together, by numbers from 1 or by
    names. `owners` are the numbers of the files that hold the bands of `names`, where that is known.
    """

    source: str
    files: tuple[Path, ...]
    names: tuple[str, ...] | None = None
    resample: Resample = "bilinear"
    bands: tuple[int | str, ...] | None = None
    nodata_value: float | None = None
    owners: tuple[int, ...] | None = None

    def needed(self) -> Files:
        """The part without the files that hold none of its bands, where these are chosen by name and it is known who holds them."""
        wanted = {b.lower() for b in self.bands or () if isinstance(b, str)}
        if self.names is None or self.owners is None or len(wanted) < len(self.bands or (0,)):
            return self
        names = [n.lower() for n in self.names]
        used = sorted({o for n, o in zip(names, self.owners, strict=True) if n in wanted})
        if not wanted <= set(names) or not used:
            return self
        kept = [i for i, o in enumerate(self.owners) if o in used]
        return replace(
            self, files=tuple(self.files[f] for f in used), names=tuple(self.names[i] for i in kept),
            owners=tuple(used.index(self.owners[i]) for i in kept),
        )  # fmt: skip


@dataclass(frozen=True)
class Shapes:
    """Features of a vector file burnt into bands: one for all of them, or one per id of a field.

    Encoded as 1 and 0, or as the signed distance in pixels, at most `limit`; `log` takes ln(d + 1) of either side.
    """

    source: str
    file: Path
    layer: str | None = None
    field: str | None = None
    ids: tuple[int | str, ...] = ()
    encode: Literal["binary", "distance"] = "binary"
    log: bool = False
    scale: float = 1.0
    limit: int = 128


@dataclass(frozen=True)
class Constant:
    """A number of the scene as a plane."""

    source: str
    value: float


@dataclass(frozen=True)
class Position:
    """Row and column in the scene as planes (and the distance to the centre with `radius`), as CoordConv has them."""

    source: str
    centered: bool = True
    normalized: bool = True
    scale: float = 1.0
    radius: bool = False


@dataclass(frozen=True)
class Plugin:
    """A user's own reader: `function(location, **options)` gives an object that reads windows."""

    source: str
    function: str
    location: str | None
    options: tuple[tuple[str, Any], ...] = ()


Part = Files | Shapes | Constant | Position | Plugin


@dataclass(frozen=True)
class Stack:
    """Parts in band order; the part named `image` gives the grid. `origin`: the file that lists them, such as a STAC item,
    of which `left_out` are the assets that are not at hand.

    Has what the code asks of a path: name, stem, suffix, parent, exists, absolute.
    """

    parts: tuple[Part, ...]
    origin: Path | None = None
    left_out: tuple[str, ...] = ()

    @property
    def reference(self) -> Part:
        """The part whose grid is the stack's."""
        return next((p for p in self.parts if p.source == "image"), self.parts[0])

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the parts, in band order."""
        return tuple(p.source for p in self.parts)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read, without the origin."""
        found: list[Path] = []
        for part in self.parts:
            if isinstance(part, Files):
                found += part.files
            elif isinstance(part, Shapes):
                found.append(part.file)
            elif isinstance(part, Plugin) and part.location is not None:
                found.append(Path(part.location))
        return tuple(dict.fromkeys(found))

    @property
    def main(self) -> Path:
        """The file that the stack is told by: its origin, else the first file of its reference."""
        if self.origin is not None:
            return self.origin
        reference = self.reference
        if isinstance(reference, Files):
            return reference.files[0]
        return (
            Path(reference.location or reference.function) if isinstance(reference, Plugin) else Path(reference.source)
        )

    @property
    def stem(self) -> str:
        """The origin's stem, or what the stems of the reference's files have in common at their beginning."""
        reference = self.reference
        if self.origin is not None or not isinstance(reference, Files) or len(reference.files) == 1:
            return self.main.stem
        stems = [f.stem for f in reference.files]
        common = stems[0][: _head(stems)].rstrip(" ,;-_.")
        return common if len(common) >= 3 else self.main.stem

    @property
    def name(self) -> str:
        """The stem with the main file's suffix."""
        return self.stem + self.suffix

    @property
    def suffix(self) -> str:
        """The main file's suffix."""
        return self.main.suffix

    @property
    def parent(self) -> Path:
        """The main file's folder."""
        return self.main.parent

    def exists(self) -> bool:
        """True where every file is there."""
        return all(f.exists() for f in self.files)

    def absolute(self) -> Path:
        """The main file's absolute path."""
        return self.main.absolute()

    def resolve(self) -> Path:
        """The main file's resolved path."""
        return self.main.resolve()

    def __str__(self) -> str:
        return str(self.main)

    def with_part(self, part: Part) -> Stack:
        """The stack with one part replaced."""
        return replace(self, parts=tuple(part if p.source == part.source else p for p in self.parts))


Image = Path | Stack


def image_files(image: Image) -> tuple[Path, ...]:
    """Every file of an image."""
    if isinstance(image, Stack):
        return (*([image.origin] if image.origin is not None else []), *image.files)
    return (image,)


def band_names(files: Iterable[Path]) -> tuple[str, ...]:
    """What tells the files of one image apart: their stems without the common beginning and end."""
    stems = [f.stem for f in files]
    if len(stems) < 2:
        return tuple(stems)
    tail = len(_common([s[len(_common(stems)) :][::-1] for s in stems]))
    head = _head(stems)
    while tail and not all(_ends_word(s, len(s) - tail) for s in stems):
        tail -= 1
    names = [s[head : len(s) - tail].strip(" ,;-_.") for s in stems]
    return tuple(names) if all(names) and len(set(names)) == len(names) else tuple(stems)


def _common(words: Sequence[str]) -> str:
    """The longest beginning that all words share."""
    shortest, longest = min(words), max(words)
    same = (n for n, (a, b) in enumerate(zip(shortest, longest, strict=False)) if a != b)
    return shortest[: next(same, min(len(shortest), len(longest)))]


def _head(stems: Sequence[str]) -> int:
    """The length of the common beginning of names, up to a word's end."""
    head = len(_common(stems))
    while head and not all(_starts_word(s, head) for s in stems):
        head -= 1
    return head


def _starts_word(stem: str, at: int) -> bool:
    return at == 0 or not (stem[at - 1].isalnum() and at < len(stem) and stem[at].isalnum())


def _ends_word(stem: str, at: int) -> bool:
    return at == len(stem) or not (stem[at].isalnum() and at > 0 and stem[at - 1].isalnum())


def as_stack(image: Image, source: str = "image") -> Stack:
    """The stack of an image: itself, or a single file as one."""
    if isinstance(image, Stack):
        return image
    return Stack((Files(source, (image,)),))


def reference_files(stack: Stack) -> Files:
    """The reference part of a stack whose grid comes from files."""
    return cast(Files, stack.reference)
