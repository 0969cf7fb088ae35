"""What the splits share: label pixels (there must be none), and pixels that samples of both see as context."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import shapely

from swath.core.cover import Cover, shared_pixels
from swath.core.grid import Grid
from swath.core.splits import SPLITS, Region, Split
from swath.core.windows import Window
from swath.disk.projects.ground import Ground, Meeting, box
from swath.disk.projects.project import Project
from swath.disk.rasters.crs import metres_per_pixel
from swath.disk.samples.plan import plan_places

_SLIVER = 0.5  # pixels: what is thinner are edges that touch


@dataclass(frozen=True)
class Leak:
    """Pixels that two splits share, counted in the scene of the later split, which is scored.

    `labels` count in both splits; `context` are others that samples of both splits read. `labels_m2` is their ground,
    None without georeference.
    """

    splits: tuple[Split, Split]
    scenes: tuple[str, str]
    kind: str
    labels: int
    labels_m2: float | None
    context: int


def leakage(project: Project) -> dict[str, Any]:
    """`ok` (no label pixel is in two splits), `label_pixels`, `label_area_m2`, `context_pixels`, `pairs`, `groups`.

    `pairs` lists where pixels are shared: within a scene, in two rows of one image, in files of the same content, or on
    ground that two scenes show. `groups` names those of the manifest that are in several splits.
    """
    found = list(_leaks(project))
    areas = [leak.labels_m2 for leak in found if leak.labels]
    return {
        "ok": not any(leak.labels for leak in found),
        "label_pixels": sum(leak.labels for leak in found),
        "label_area_m2": None if any(a is None for a in areas) else sum(a for a in areas if a is not None),
        "context_pixels": sum(leak.context for leak in found),
        "pairs": [asdict(leak) | {"splits": list(leak.splits), "scenes": list(leak.scenes)} for leak in found],
        "groups": _groups(project),
    }


def leak_lines(found: dict[str, Any] | None) -> list[str]:
    """The report as text: one line per kind of sharing, warnings first; nothing of a store that has no report."""
    if found is None:
        return []
    lines = []
    shared = [p for p in found["pairs"] if p["labels"]]
    if shared:
        worst = max(shared, key=lambda p: p["labels"])
        area = f" ({found['label_area_m2']:,.0f} m2)" if found["label_area_m2"] else ""
        lines.append(f"warning: {found['label_pixels']:,} label pixels{area} are in two splits, so scores are too good: "
                     f"{' and '.join(worst['scenes'])} ({worst['kind']}, {' and '.join(worst['splits'])})"
                     + (f" and {len(shared) - 1} more pairs" if len(shared) > 1 else ""))  # fmt: skip
    if found["groups"]:
        lines.append(f"warning: groups of the manifest in several splits: {', '.join(found['groups'])}")
    if found["context_pixels"]:
        lines.append(f"note: {found['context_pixels']:,} pixels around labels are seen by samples of two splits")
    return lines or ["leakage: none, no pixel is seen by two splits"]


def _leaks(project: Project) -> Iterator[Leak]:
    used = [i for i, parts in enumerate(project.regions) if parts]
    if len({r.split for i in used for r in project.regions[i]}) < 2:
        return
    ground, reads = Ground(project), _Reads(project)
    for i in used:
        for first, second in combinations(sorted((r.split for r in project.regions[i]), key=SPLITS.index), 2):
            yield from _leak(project, ground, reads, (i, first), (i, second), "same scene")
    for meeting in ground.meetings(project.regions):
        yield from _between(project, ground, reads, meeting)


def _between(project: Project, ground: Ground, reads: _Reads, meeting: Meeting) -> Iterator[Leak]:
    for a in project.regions[meeting.first]:
        for b in project.regions[meeting.second]:
            if a.split != b.split:
                pair = sorted(((meeting.first, a.split), (meeting.second, b.split)), key=lambda p: SPLITS.index(p[1]))
                yield from _leak(project, ground, reads, pair[0], pair[1], meeting.kind)


def _leak(
    project: Project, ground: Ground, reads: _Reads, first: tuple[int, Split], second: tuple[int, Split], kind: str
) -> Iterator[Leak]:
    """What a split of one scene shares with a later split of another (or the same), if anything."""
    (i, early), (j, late) = first, second
    shapes = [project.region(i, early), project.region(j, late)]
    assert shapes[0] is not None
    assert shapes[1] is not None
    labels = _shared_labels(ground, (i, shapes[0]), (j, shapes[1]), kind)
    seen = _shared_reads(ground, reads, first, second, kind)
    if labels or seen:
        size = metres_per_pixel(ground.grids[j])
        area = None if size is None else labels * size[0] * size[1]
        names = project.scenes[i].name, project.scenes[j].name
        yield Leak((early, late), names, kind, labels, area, max(0, seen - labels))


def _shared_labels(ground: Ground, first: tuple[int, Region], second: tuple[int, Region], kind: str) -> int:
    """The pixels that two regions both use; outlines are laid over each other only where pixels or areas differ."""
    (i, mine), (j, theirs) = first, second
    if kind != "same ground":
        found = shared_pixels(_region_cover(mine, ground.grids[i]), _region_cover(theirs, ground.grids[j]))
        if found == 0 or ground.areas[i] is ground.areas[j] is None:
            return found
    return _common(ground, i, ground.labels_of(i, mine), j, ground.labels_of(j, theirs), kind)


def _region_cover(region: Region, grid: Grid) -> Cover:
    whole = Window(0, 0, *grid.shape)
    return Cover.of([whole] if region.inside is None else [b & whole for b in region.inside], region.outside)


def _shared_reads(ground: Ground, reads: _Reads, first: tuple[int, Split], second: tuple[int, Split], kind: str) -> int:
    """The pixels that samples of both splits read."""
    if kind != "same ground":
        return shared_pixels(Cover.of(reads.boxes(*first)), Cover.of(reads.boxes(*second)))
    return _common(ground, first[0], reads.outline(*first), second[0], reads.outline(*second), kind)


def _common(ground: Ground, i: int, mine: Any, j: int, theirs: Any, kind: str) -> int:
    """How many pixels of scene `j` two shapes have in common."""
    seen = mine if i == j else ground.seen_from(j, mine, i, kind)  # type: ignore[arg-type]
    if seen is None:
        return 0
    parts = shapely.get_parts(shapely.intersection(seen, theirs))
    return round(sum(float(shapely.area(p)) for p in parts if _wide(p)))


def _wide(part: Any) -> bool:
    left, bottom, right, top = shapely.bounds(part)
    return bool(min(right - left, top - bottom) > _SLIVER)


class _Reads:
    """The pixels that the samples of each split read of each scene; found when they are asked for."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._planned: dict[Split, dict[int, list[Window]]] = {}
        self._joined: dict[tuple[int, Split], Any] = {}

    def boxes(self, scene: int, split: Split) -> list[Window]:
        """The windows read, inside the scene."""
        if split not in self._planned:
            planned: dict[int, list[Window]] = {}
            for place in plan_places(self.project, split):
                planned.setdefault(place.scene, []).append(place.read.clip(*self.project.infos[place.scene].grid.shape))
            self._planned[split] = planned
        return self._planned[split].get(scene, [])

    def outline(self, scene: int, split: Split) -> Any:
        """Their outline in pixels of the scene."""
        if (scene, split) not in self._joined:
            self._joined[scene, split] = shapely.union_all([box(b) for b in self.boxes(scene, split)])
        return self._joined[scene, split]


def _groups(project: Project) -> list[str]:
    splits: dict[str, set[Split]] = {}
    for scene, parts in zip(project.scenes, project.regions, strict=True):
        if scene.group is not None:
            splits.setdefault(scene.group, set()).update(r.split for r in parts)
    return sorted(group for group, found in splits.items() if len(found) > 1)
