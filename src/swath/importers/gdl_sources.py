"""What geo-deep-learning feeds its network beside the image: vector bands, metadata planes, coordinate channels; buckets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from swath.core.errors import DataError
from swath.disk.scenes.manifest import Scene
from swath.disk.scenes.sources import scene_metadata
from swath.importers.places import expected
from swath.importers.report import Draft, Rule, Table, few, flag, number, several

AUX = "aux_vector"


def image_bands(draft: Draft) -> int | None:
    """How many of `number_of_bands` come from the image: the old count includes vector bands and metadata planes."""
    count = draft.get("global.number_of_bands")
    if count is None:
        return None
    ids = _given(draft, "ids")
    vectors = (
        0 if not _given(draft, "file") else len(several(ids)) if ids is not None and _given(draft, "attrib") else 1
    )
    planes = draft.get("global.meta_map") or {}
    extra = sum(2 if kind == "scaled_channel" else 1 for kind in planes.values()) if isinstance(planes, dict) else 0
    return max(few(count) - vectors - extra, 1)


def has_sources(draft: Draft) -> bool:
    """True where the image is not the only source."""
    return bool(_given(draft, "file") or draft.get("global.meta_map"))


def aux(value: Any, draft: Draft) -> str | None:
    """Any of the `aux_vector_*` keys: all of them make one source."""
    file, field, ids, scale = (_given(draft, k) for k in ("file", "attrib", "ids", "scale"))
    if not file:
        return "has no effect without aux_vector_file"
    source: dict[str, Any] = {"vector": expected(file, draft)}
    note = "one band: features of every id"
    if field is not None and ids is not None:
        source |= {"field": str(field), "ids": several(ids)}
        note = f"one band per id, in this order: {', '.join(map(str, several(ids)))}"
    distance, log = (_given(draft, k) for k in ("dist_maps", "dist_log"))
    source["encode"] = "distance" if distance is None or flag(distance) else "binary"
    if source["encode"] == "distance":
        source["log"] = log is None or flag(log)
    if scale is not None:
        source["scale"] = number(scale)
    draft.set(f"sources.{AUX}", source)
    return f"{note}; also in maps, where the old program forgot it"


def planes(value: Any, draft: Draft) -> str:
    """`meta_map`: a source for every value of the metadata files."""
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no map of metadata keys to const_channel or scaled_channel")
    for key, kind in value.items():
        if kind not in ("const_channel", "scaled_channel"):
            raise ValueError(f"{kind!r} is neither const_channel nor scaled_channel")
        name = re.sub(r"\W+", "_", str(key).rpartition("/")[2]).strip("_") or "metadata"
        source = {"metadata": _metadata_key(str(key), draft), "encode": "constant" if kind[0] == "c" else "scaled"}
        draft.set(f"sources.{name}", source)
    return "from the column `metadata` of the manifest; constant planes, or row and column times the value"


def coordinates(value: Any, draft: Draft) -> str:
    """Any of the `coordconv_*` keys: all of them make `model.coordconv`."""
    old = {
        k.partition("_")[2]: v for k, v in draft.old.items() if k.startswith(("global.coordconv_", "global.coordvonc_"))
    }
    if old.get("convert") is None or not flag(old["convert"]):
        return "has no effect: coordconv_convert is off"
    options: dict[str, Any] = {"where": "all"}
    for name in ("centered", "normalized", "radius_channel"):
        if old.get(name) is not None:
            options[name.partition("_")[0]] = flag(old[name])
    for name in ("scale", "noise"):
        if old.get(name) is not None:
            options[name] = number(old[name])
    draft.set("model.coordconv", options)
    return (
        "every convolution has them, as there; `where: input` keeps maps exact. The scale acts here, there it was lost"
    )


def bucket(value: Any, draft: Draft) -> str:
    """`bucket_name`: the rows of the list are read in place."""
    draft.set("runtime.remote", True)
    draft.tell("scenes")
    return f"rows of the manifest are s3://{value}/...; credentials come from the environment only"


def modalities(value: Any, draft: Draft) -> str:
    """`concatenate_depth` and `modalities`: how a fourth band entered pretrained weights."""
    depth = str(draft.get("global.concatenate_depth") or "baseline")
    if str(draft.get("global.modalities") or "").upper() != "RGBN":
        return "any number of bands enters every network"
    if depth != "baseline":
        return "not yet in Swath: a second encoder joined later; the extra band enters with the others"
    if str(draft.get("global.model_name")).lower() != "deeplabv3_resnet101":
        return "acted on deeplabv3_resnet101 only"
    draft.set("model.adapter", "copy:2")
    return "the filters of the extra band begin as those of green, as there"


def _given(draft: Draft, key: str) -> Any:
    return draft.get(f"global.aux_vector_{key}")


def _metadata_key(key: str, draft: Draft) -> str:
    """The name under which the first scene's metadata have the value of a key such as `properties/eo:gsd`."""
    last, dotted = key.rpartition("/")[2], key.replace("/", ".")
    file = next((s["metadata"] for s in draft.scenes if s.get("metadata")), None)
    if isinstance(file, Path) and file.exists():
        try:
            known = scene_metadata(Scene("first", file, attributes={"metadata": str(file.absolute())}))
        except DataError:
            return last  # told by `swath check`, with the place
        return dotted if dotted in known and last not in known else last
    return last


_AUX = Rule(f"sources.{AUX}", "one source: `vector`, `field`, `ids`, `encode`, `log`, `scale`", aux)
_PLACE = Rule("model.coordconv", "`where: all`, with centered, normalized, scale, radius and noise", coordinates)
_MODALITIES = Rule("model.adapter", "copy:2, green, where the second encoder was the baseline", modalities)

SOURCES: Table = {
    **{f"global.aux_vector_{key}": _AUX for key in ("file", "attrib", "ids", "dist_maps", "dist_log", "scale")},
    "global.meta_map": Rule("sources", "a source with `metadata` for each", planes),
    **{f"global.{key}": _PLACE for key in
       ("coordconv_convert", "coordvonc_scale", "coordconv_scale", "coordconv_centered", "coordconv_normalized",
        "coordconv_radius_channel", "coordconv_noise")},
    "global.modalities": _MODALITIES,
    "global.concatenate_depth": _MODALITIES,
    "global.bucket_name": Rule("runtime.remote, scenes", "rows become `s3://bucket/key`", bucket),
}  # fmt: skip
