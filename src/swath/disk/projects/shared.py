"""Label regions without the ground that another split scores: a pixel is trained on or scored, never both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import shapely

from swath.core.errors import DataError, QualityError
from swath.core.splits import SPLITS, Region, Split
from swath.core.windows import Window
from swath.disk.projects.ground import Ground, Meeting, covered, pixels_of
from swath.disk.projects.opened import Opened

_MOST = 0.5  # of a region, which `auto` cuts out at most
Cuts = dict[tuple[int, Split], list[Window]]


def without_shared(project: Opened, regions: Sequence[Sequence[Region]]) -> list[list[Region]]:
    """The regions of every scene, without the labels whose ground a later split scores in another scene.

    Test goes before validation, validation before training. `split.overlap` says what happens: `cut` leaves those
    labels out, around them also those within `split.buffer` of training; `keep` leaves all as it is; `auto` cuts where
    a region keeps at least half of its pixels (edges that overlap), and keeps where it would not (another date of the
    same place). Raises QualityError with `error`, DataError where nothing is left to train on.
    """
    rule = project.config.split.overlap
    plain = [list(parts) for parts in regions]
    if rule == "keep":
        return plain
    cuts = shared_boxes(Ground(project), plain)
    if rule == "error" and cuts:
        (scene, split), boxes = next(iter(cuts.items()))
        raise QualityError("split-overlap", project.scenes[scene].place, f"{sum(b.area for b in boxes):,} of its pixels in "
                           f"{split} are scored by another split{_more(len(cuts))}",
                           "cut the scenes apart, or set split.overlap=cut")  # fmt: skip
    buffer, kept = project.config.split.buffer, set[int]()
    for (scene, split), boxes in cuts.items():
        shape = project.infos[scene].grid.shape
        apart = [b.pad(buffer).clip(*shape) for b in boxes] if split == "trn" else boxes
        plain[scene], whole = _cut(plain[scene], split, apart, shape, always=rule == "cut")
        kept |= {scene} if whole else set()
    if cuts and rule == "auto":
        cut = len({scene for scene, _ in cuts} - kept)
        found = [f"{cut} cut, each with at least half of its labels left"] * (cut > 0)
        found += [f"{len(kept)} left whole, as less than half would stay: scores of that ground are too good"] * (len(kept) > 0)
        why = "another split scores ground of training or validation scenes: " + ", ".join(found)
        project.decided("split.overlap", "cut" if cut else "keep", why)
    if not any(r.split == "trn" for parts in plain for r in parts):
        raise DataError("split-empty", project.path, "no scene is left for training: other splits score all of its ground",
                        "give the rows the same split, or set split.overlap=keep")  # fmt: skip
    return plain


def shared_boxes(ground: Ground, regions: Sequence[Sequence[Region]]) -> Cuts:
    """Per (scene, split), the windows of its labels that a later split scores in another scene."""
    cuts: Cuts = {}
    if len({r.split for parts in regions for r in parts}) < 2:
        return cuts
    for meeting in ground.meetings(regions):
        for scene, other in ((meeting.first, meeting.second), (meeting.second, meeting.first)):
            for region in regions[scene]:
                for theirs in regions[other]:
                    if SPLITS.index(region.split) < SPLITS.index(theirs.split):
                        shape = _common(ground, meeting, scene, region, other, theirs)
                        boxes = covered(shape, ground.grids[scene].shape)
                        if boxes:
                            cuts.setdefault((scene, region.split), []).extend(boxes)
    return dict(sorted(cuts.items()))


def _common(ground: Ground, meeting: Meeting, scene: int, region: Region, other: int, theirs: Region) -> Any:
    """The pixels of a region that a region of another scene also holds, in pixels of `scene`."""
    seen = ground.seen_from(scene, ground.labels_of(other, theirs), other, meeting.kind)
    return shapely.Polygon() if seen is None else shapely.intersection(ground.labels_of(scene, region), seen)


def _cut(
    parts: Sequence[Region], split: Split, boxes: Sequence[Window], shape: tuple[int, int], *, always: bool
) -> tuple[list[Region], bool]:
    """A scene's regions without `boxes` in one of them, and whether it was kept whole instead."""
    out, kept = [], False
    for region in parts:
        if region.split == split:
            left = Region(split, region.inside, (*region.outside, *boxes))
            before, after = (float(shapely.area(pixels_of(r, shape))) for r in (region, left))
            kept = not always and after < _MOST * before
            if kept or after > 0:
                out.append(region if kept else left)
        else:
            out.append(region)
    return out, kept


def _more(places: int) -> str:
    return f" (and {places - 1} other region{'s' * (places > 2)})" if places > 1 else ""
