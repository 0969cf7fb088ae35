"""Importing, and the raster tools, as verbs of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from swath.commands import Verb, call, overwrite_argument
from swath.core.errors import ConfigError
from swath.messages import counts, table


def _chip_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("images", nargs="+", metavar="IMAGE", help="rasters, folders, globs or manifests")
    p.add_argument("--out", required=True, metavar="DIR", help="directory of the chips")
    p.add_argument("--size", type=int, required=True, help="side of a chip in pixels")
    p.add_argument("--stride", type=int, help="pixels from chip to chip (default: size)")
    p.add_argument("--edge", default="keep", choices=("keep", "pad", "shift", "drop"),
                   help="the last chip: true size, filled up with nodata, slid back inside, left out (default: keep)")  # fmt: skip
    p.add_argument("--pattern", default="{stem}_{row}_{col}.tif", help="names by {stem}, {row}, {col}, {index}")
    p.add_argument("--expect", type=int, metavar="N", help="fail unless there are N chips")
    overwrite_argument(p)


def _mosaic_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="rasters, folders or globs, on one grid")
    p.add_argument("--out", required=True, metavar="FILE", help="a .tif (COG) or .vrt")
    p.add_argument("--on-overlap", default="first", choices=("first", "last", "mean", "max", "min"),
                   help="which valid pixel counts where several lie (default: first)")  # fmt: skip
    overwrite_argument(p)


def _label_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("--labels", nargs="+", metavar="FILE", help="a raster, or vectors, folders and globs of them: their union")
    p.add_argument("--config", metavar="FILE", help="YAML file with `classes` (and `labels`)")


def _mask_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("images", nargs="+", metavar="IMAGE", help="rasters, folders, globs, or manifests with labels")
    p.add_argument("--labels", nargs="+", metavar="FILE", help="a raster, or vectors, folders and globs of them: their union")
    p.add_argument("--config", required=True, metavar="FILE", help="YAML file with `classes` (and `labels`)")
    p.add_argument("--out", required=True, metavar="DIR", help="directory of the masks")
    p.add_argument("--preview", action="store_true", help="a PNG in the classes' colours beside each mask")
    overwrite_argument(p)


def _summarize_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("images", nargs="+", metavar="IMAGE", help="rasters, folders, globs or manifests")
    p.add_argument("--out", metavar="DIR", help="directory of JSON files and histograms")
    _label_args(p)
    p.add_argument("--bins", type=int, default=256, help="bins of a histogram (default: 256)")


def _flatten_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("images", nargs="+", metavar="IMAGE", help="rasters, folders, globs or manifests")
    p.add_argument("--out", required=True, metavar="FILE", help="a .csv or .parquet")
    _label_args(p)
    p.add_argument("--form", default="long", choices=("long", "wide"), help="a row per value, or per pixel (default: long)")
    p.add_argument("--bands", nargs="+", metavar="BAND", help="numbers from 1, or names (default: all)")
    overwrite_argument(p)


def _apply_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("function", help="package.module:function of {name: (C, h, w)}, returning (K, h, w)")
    p.add_argument("--source", action="append", required=True, metavar="NAME:FILE", help="a raster under a name; repeat it")
    p.add_argument("--out", required=True, metavar="FILE", help="the GeoTIFF")
    p.add_argument("--window", type=int, default=1024, help="side of a window in pixels (default: 1024)")
    p.add_argument("--margin", type=int, default=0, help="pixels read around each window (default: 0)")
    p.add_argument("--dtype", help="pixel type of the result (default: what the function returns)")
    p.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    overwrite_argument(p)


def _split_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("manifest", help="CSV, JSON or GeoPackage with a column `image`")
    p.add_argument("--out", required=True, metavar="FILE", help="the new manifest, .csv or .json")
    for name, share in (("trn", 0.8), ("val", 0.1), ("tst", 0.1)):
        p.add_argument(f"--{name}", type=float, default=share, help=f"proportion of the rows (default: {share})")
    p.add_argument("--by", default="scene", choices=("scene", "folder"), help="what stays together beside groups")
    p.add_argument("--method", default="random", choices=("random", "interleave"), help="order of dealing")
    p.add_argument("--seed", type=int, default=0, help="of the random order (default: 0)")
    overwrite_argument(p)


def _points_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("things", nargs="+", metavar="CONFIG|IMAGE", help="a config, images or manifests, or label images")
    p.add_argument("--out", metavar="FILE", help="the GeoPackage of points")
    p.add_argument("--statistics", metavar="FILE", help="valid pixels per class and per polygon, .json or .csv")
    p.add_argument("--labels", metavar="FILE", help="polygons, or a class raster on the images' grid")
    p.add_argument("--field", metavar="NAME", help="field of the class (default: `class`, else all polygons are class 1)")
    p.add_argument("--nodata", type=float, help="value of pixels without data, where the file has no tag")
    p.add_argument("--mask", metavar="FILE", help="raster of the image's size; its 0 is left out")
    p.add_argument("--strategy", default="smallest",
                   choices=("smallest", "constant", "percent", "total", "byclass", "all", "grid", "balanced"),
                   help="how many of each class, or points on a grid (default: smallest)")  # fmt: skip
    p.add_argument("--number", type=float, help="points per class (constant), in all (total, balanced), percent (percent)")
    p.add_argument("--counts", nargs="+", metavar="ID:N", help="points of each class id (byclass)")
    p.add_argument("--sampler", default="periodic", choices=("periodic", "random"),
                   help="evenly spread candidates, or random ones (default: periodic)")  # fmt: skip
    p.add_argument("--jitter", type=float, default=0.0, help="randomness of periodic points, 0 to 1 (default: 0)")
    p.add_argument("--patch", type=int, help="side of patches in pixels that must lie inside the image (grid: 16 unless told)")
    p.add_argument("--step", type=int, help="pixels between grid points, side of a chessboard's squares (default: patch)")
    p.add_argument("--offset", type=int, nargs=2, default=(0, 0), metavar=("Y", "X"), help="first row and column of the grid")
    p.add_argument("--seed-share", type=float, default=0.25, help="regular share of balanced points (default: 0.25)")
    p.add_argument("--split", choices=("regions", "chessboard", "proportions", "none"),
                   help="how points are split (default: the regions of a config; none for files)")  # fmt: skip
    p.add_argument("--order", default="interleave", choices=("interleave", "random"), help="order of dealing (proportions)")
    p.add_argument("--shares", type=float, nargs=3, default=(50, 25, 25), metavar=("TRN", "VAL", "TST"),
                   help="proportions of the splits (default: 50 25 25)")  # fmt: skip
    p.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    overwrite_argument(p)


def _counts(texts: list[str] | None) -> dict[int, int] | None:
    """Class id -> number of `ID:N` words."""
    if texts is None:
        return None
    try:
        return {int(i): int(n) for i, n in (text.split(":") for text in texts)}
    except ValueError as e:
        raise ConfigError("points-counts", " ".join(texts), "is no list of ID:N", "write --counts 1:100 2:50") from e


def _points(a: argparse.Namespace, o: list[str]) -> dict[str, Any]:
    """The points that the arguments ask for."""
    return call("points")(*a.things, out=a.out, labels=a.labels, field=a.field, nodata=a.nodata, mask=a.mask,
                          strategy=a.strategy, number=a.number, counts=_counts(a.counts), sampler=a.sampler,
                          jitter=a.jitter, patch=a.patch, step=a.step, offset=a.offset, seed_share=a.seed_share,
                          split=a.split, order=a.order, shares=a.shares, seed=a.seed, statistics=a.statistics,
                          overrides=o, overwrite=a.overwrite)  # fmt: skip


def _sources(texts: list[str]) -> dict[str, str]:
    """Name -> file of `NAME:FILE` words."""
    found: dict[str, str] = {}
    for text in texts:
        name, sign, file = text.partition(":")
        if not (name and sign and file) or name in found:
            raise ConfigError("source", text, "is no NAME:FILE with a name of its own", "write --source a:image.tif")
        found[name] = file
    return found


def _fetch_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("sources", nargs="+", metavar="SOURCE",
                   help="s3://, http(s)://, file:// or local: files, prefixes, folders, manifests, lists (.txt), STAC items")  # fmt: skip
    p.add_argument("--out", metavar="DIR", help="directory of the copies")
    p.add_argument("--list", action="store_true", dest="listing", help="print what there is; copy nothing")
    p.add_argument("--include", action="append", default=[], metavar="GLOB", help="only names that fit; may be repeated")
    p.add_argument("--limit", type=int, metavar="N", help="only the first N files")
    overwrite_argument(p)


def _show_chip(r: dict[str, Any]) -> str:
    return "\n".join(filter(None, [f"{r['chips']} chips: {r['out']}", counts("events", r["events"])]))


def _show_mosaic(r: dict[str, Any]) -> str:
    grid = r["grid"]
    text = f"{grid['width']} x {grid['height']} pixels of {r['inputs']} rasters: {r['mosaic']}"
    return "\n".join(filter(None, [text, counts("events", r["events"])]))


def _percent(share: float) -> str:
    """A share with one decimal, or as many as show that it is not zero."""
    return f"{100 * share:.1f} %" if share == 0 or share >= 0.001 else f"{100 * share:.1g} %"


def _show_mask(r: dict[str, Any]) -> str:
    rows = [(Path(m["mask"]).name, m["polygons"], m["classes"], m["ignored"]) for m in r["masks"]]
    shown = table(rows, ["mask", "polygons", "pixels", "ignored"])
    share = "no labelled pixel" if r["foreground"] is None else f"foreground {_percent(r['foreground'])}"
    return "\n".join(filter(None, [shown, counts("events", r["events"]), share, f"masks: {r['out']}"]))


def _import_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("system", metavar="SYSTEM", help="gdl, gdl-csv, roof, frames-masks, nist, images-masks or otb")
    p.add_argument("source", metavar="FILE", help="the old config, list, script or folder")
    p.add_argument("--out", required=True, metavar="DIR", help="directory of the new config and manifest")
    p.add_argument("--root", metavar="DIR", help="where relative paths start (default: found by looking)")
    p.add_argument("--pair-by", default="stem", choices=("stem", "regex", "order"),
                   help="how images find their masks (default: stem)")  # fmt: skip
    p.add_argument("--pattern", metavar="REGEX", help="with --pair-by regex: what image and mask have in common")
    p.add_argument("--allow-missing", action="store_true", help="go on without files that are missing or unmatched")
    overwrite_argument(p)


def _show_import(r: dict[str, Any]) -> str:
    rows = [(x["key"], x["value"], x["became"], x["note"]) for x in r["report"]]
    lines = [table(rows, ["key", "value", "became", "note"]), *(f"missing: {m}" for m in r["missing"])]
    lines += [f"manifest: {r['manifest']} ({r['scenes']} scenes)"] if r["manifest"] else []
    lines += [f"config: {r['config']}"] if r["config"] else []
    return "\n".join([*lines, *(f"then: {c}" for c in r["commands"])])


def _show_summarize(r: dict[str, Any]) -> str:
    keys = ("min", "max", "mean", "std", "nodata_share")
    rows = [(Path(i["path"]).name, b["name"], *(b[k] for k in keys)) for i in r["images"] for b in i["bands"]]
    parts = [table(rows, ["image", "band", *keys])]
    own = ("pixels", "share", "area_m2", "polygons", "polygon_area_m2")
    classes = [(Path(i["path"]).name, n, *(c[k] for k in own)) for i in r["images"] for n, c in (i["classes"] or {}).items()]
    return "\n\n".join([*parts, table(classes, ["image", "class", *own])] if classes else parts)


def _show_flatten(r: dict[str, Any]) -> str:
    text = f"{r['rows']:,} rows of {r['pixels']:,} pixels: {r['table']}"
    return "\n".join(filter(None, [text, counts("events", r["events"])]))


def _show_apply(r: dict[str, Any]) -> str:
    return f"{r['bands']} bands of {r['dtype']} in {r['windows']} windows, {r['nodata_pixels']:,} pixels nodata: {r['raster']}"


def _show_split(r: dict[str, Any]) -> str:
    rows = [(s, r["scenes"][s], r["units"][s]) for s in r["scenes"]]
    return f"{table(rows, ['split', 'scenes', 'units'])}\n{r['replaced']} splits replaced\nmanifest: {r['manifest']}"


def _show_points(r: dict[str, Any]) -> str:
    keys = ("id", "available", "points", "rate", "trn", "val", "tst")
    rows = [(name, *(c.get(k) for k in keys)) for name, c in r["classes"].items()]
    split = ", ".join(f"{n} {s}" for s, n in r["splits"].items())
    files = [f"{r['count']} points ({split}): {r['points']}"] if r["points"] else []
    files += [f"statistics: {r['statistics']}"] if "statistics" in r else []
    return "\n".join(filter(None, [table(rows, ["class", *keys]) if rows else "", *r["notes"], counts("events", r["events"]), *files]))


def _show_fetch(r: dict[str, Any]) -> str:
    lines = [f"failed: {f['source']}: {f['message']}; {f['fix']}" for f in r["failed"]]
    if "out" not in r:
        shown = table([(f["name"], f"{f['size']:,}", f["source"]) for f in r["files"]], ["file", "bytes", "source"])
        return "\n".join([shown, *lines, f"{len(r['files'])} files, {r['bytes']:,} bytes"])
    told = f"{r['fetched']} fetched ({r['bytes']:,} bytes), {r['skipped']} skipped, {len(r['failed'])} failed: {r['out']}"
    return "\n".join(filter(None, [*lines, counts("events", r["events"]), told]))


TOOLS: dict[str, Verb] = {
    "fetch": Verb("a directory with copies of remote files, checksummed", "swath fetch s3://bucket/scenes/ --out scenes",
                  _fetch_args,
                  lambda a, o: call("fetch")(a.sources, out=a.out, listing=a.listing, include=a.include,
                                                  limit=a.limit, overwrite=a.overwrite), _show_fetch, settings=False),
    "import": Verb("a config and a manifest made from another system's, with a row for every key",
                   "swath import gdl config.yaml --out imported", _import_args,
                   lambda a, o: call("import")(a.system, a.source, out=a.out, root=a.root, pair_by=a.pair_by,
                                                    pattern=a.pattern, allow_missing=a.allow_missing,
                                                    overwrite=a.overwrite), _show_import, settings=False),
    "chip": Verb("a folder of georeferenced windows of rasters", "swath chip images --size 512 --out chips", _chip_args,
                 lambda a, o: call("chip")(a.images, *o, out=a.out, size=a.size, stride=a.stride, edge=a.edge,
                                                pattern=a.pattern, expect=a.expect, overwrite=a.overwrite), _show_chip),
    "mosaic": Verb("one raster of many that lie side by side", "swath mosaic chips --out whole.tif", _mosaic_args,
                   lambda a, o: call("mosaic")(a.inputs, *o, out=a.out, on_overlap=a.on_overlap, overwrite=a.overwrite),
                   _show_mosaic),
    "mask": Verb("a class raster of every image, its labels burnt on its grid",
                 "swath mask images --labels roofs.gpkg --config roofs.yaml --out masks", _mask_args,
                 lambda a, o: call("mask")(a.images, a.labels, *o, config=a.config, out=a.out, preview=a.preview,
                                          overwrite=a.overwrite),
                 _show_mask),
    "summarize": Verb("what rasters hold: statistics per band and class, areas, histograms",
                      "swath summarize images --out summary", _summarize_args,
                      lambda a, o: call("summarize")(a.images, *o, out=a.out, labels=a.labels, config=a.config, bins=a.bins),
                      _show_summarize),
    "flatten": Verb("a table of the pixels of rasters", "swath flatten image.tif --out pixels.csv --form wide", _flatten_args,
                    lambda a, o: call("flatten")(a.images, *o, out=a.out, labels=a.labels, config=a.config, form=a.form,
                                                  bands=a.bands, overwrite=a.overwrite), _show_flatten),
    "apply": Verb("a raster that any Python function makes of others",
                  "swath apply mine.indices:ndvi --source a:image.tif --out ndvi.tif", _apply_args,
                  lambda a, o: call("apply")(a.function, _sources(a.source), out=a.out, window=a.window,
                                                  margin=a.margin, dtype=a.dtype, workers=a.workers,
                                                  overwrite=a.overwrite), _show_apply, settings=False),
    "split": Verb("a manifest whose column `split` is filled", "swath split scenes.csv --out split.csv --val 0.2 --tst 0",
                  _split_args,
                  lambda a, o: call("split")(a.manifest, out=a.out, trn=a.trn, val=a.val, tst=a.tst, by=a.by,
                                                  seed=a.seed, method=a.method, overwrite=a.overwrite), _show_split, settings=False),
    "points": Verb("a GeoPackage of sample points, drawn from labels or from a grid",
                   "swath points image.tif --labels fields.gpkg --out points.gpkg", _points_args, _points, _show_points),
}  # fmt: skip
