"""What becomes of geo-deep-learning's settings of tasks, machines and maps, which Swath mostly decides itself."""

from __future__ import annotations

from typing import Any

from swath.importers.report import Draft, flag, number, reading, whole


def task(value: Any, draft: Draft) -> str:
    if str(value).lower() == "segmentation":
        return "what Swath does"
    return f"{value!r}: classification was no longer supported there, and is not yet here; imported as segmentation"


def used_ram(value: Any, draft: Draft) -> str:
    found = number(value)
    chosen = f"{found:g} percent, as the source" if 0 <= found <= 100 else f"{found:g} MB, as the text: no percentage"
    note = reading(
        value, "megabytes", "takes it for percent, and 15 (training) or 25 (inference) outside 0 to 100", chosen
    )
    return f"{note}. Swath does not choose GPUs by load: name one with runtime.device=cuda:N"


def smooth(value: Any, draft: Draft) -> str:
    draft.set("predict.blend", "spline" if flag(value) else "none")
    return reading(value, "tiles are blended by a 2-D spline", "never read it, and its blending changed nothing",
                   "the text, for networks that see the whole image; maps of all others have no seams to blend")  # fmt: skip


def chunk(value: Any, draft: Draft) -> str:
    draft.set("predict.tile", whole(value))
    return reading(
        value, "the side of a tile", "obeys on a processor only, and guesses on a GPU", "the text; the map is the same"
    )


def inference_overlap(value: Any, draft: Draft) -> str:
    return reading(value, "pixels between tiles (older versions: percent)", "never read it, always half a tile",
                   "Swath's: tiles are read with the network's own margin")  # fmt: skip


def heatmaps(value: Any, draft: Draft) -> None:
    draft.set("predict.save", ["classes", "probabilities"] if flag(value) else ["classes"])
