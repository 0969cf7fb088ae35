"""`swath VERB ...`: verb -> function, and the one boundary where every failure becomes one line and an exit code."""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swath import __version__
from swath.cli_tools import TOOLS
from swath.commands import Verb, call, overwrite_argument
from swath.core.errors import ConfigError, DataError, ResourceError, SwathError, did_you_mean
from swath.messages import counts, quiet_libraries, say, set_verbosity, table, tolerant_output
from swath.progress import set_quiet

_OVERRIDE = re.compile(r"^[a-z_]+(\.[A-Za-z0-9_]+)*=")
_BYTES = re.compile("[\udc80-\udcff]")  # what Python reads for bytes of a file's name that the locale has no letter for


def _config(p: argparse.ArgumentParser) -> None:
    p.add_argument("config", help="YAML file with at least `scenes` and `classes`")


def _check_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("things", nargs="+", metavar="CONFIG|FILE", help="a config, or rasters, vectors, folders, manifests")
    p.add_argument("--faults", metavar="FILE", help="a GeoPackage for the features that something is wrong with")
    overwrite_argument(p)


def _sample_args(p: argparse.ArgumentParser) -> None:
    _config(p)
    overwrite_argument(p)


def _analyze_args(p: argparse.ArgumentParser) -> None:
    _config(p)
    p.add_argument("--search", action="store_true", help="show every threshold that the search tried")


def _train_args(p: argparse.ArgumentParser) -> None:
    _config(p)
    p.add_argument(
        "--resume", action="store_true", help="go on with an interrupted training; harmless on a finished one"
    )
    overwrite_argument(p)


def _evaluate_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("model", help="a bundle, a run, or a finished map")
    p.add_argument("scenes", help="manifest or config with labelled scenes")
    p.add_argument("--split", default="tst", help="trn, val, tst or all (default: tst)")
    _source_argument(p)


def _predict_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("model", help="a bundle or a run")
    p.add_argument("inputs", nargs="*", metavar="INPUT", help="rasters, STAC items, folders, globs or manifests")
    _source_argument(p)
    p.add_argument("--split", help="of manifests, only the rows of this split: trn, val or tst")
    p.add_argument("--out", required=True, metavar="DIR", help="directory of the maps")
    overwrite_argument(p)


def _source_argument(p: argparse.ArgumentParser) -> None:
    p.add_argument("--source", action="append", metavar="NAME=FILE",
                   help="a further source of the model; several files of one image as a.tif;b.tif")  # fmt: skip


def _sources(given: Sequence[str] | None) -> dict[str, str] | None:
    """The sources of `--source NAME=FILE`. Raises ConfigError."""
    pairs = [text.partition("=") for text in given or ()]
    for name, equals, file in pairs:
        if not (name and equals and file):
            raise ConfigError("source", f"--source {name}{equals}{file}", "names no file", "write --source NAME=FILE")
    return {name: file for name, _, file in pairs} or None


def _vectorize_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("map", help="a map made by `swath predict`")
    p.add_argument("--out", required=True, metavar="FILE", help="the GeoPackage")
    overwrite_argument(p)


def _info_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("thing", help="raster, vector, store, bundle, run, map, manifest, STAC item or config")


def _verify_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("thing", help="store, bundle, run, raster, or samples that convert wrote")


def _convert_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("source", help="a store, or a directory of samples in a foreign layout")
    p.add_argument("--to", required=True, metavar="FORMAT",
                   help="store, folders, webdataset, hdf5, lmdb, tfrecords, patches-images or nnunet")  # fmt: skip
    p.add_argument("--out", required=True, metavar="DIR", help="directory of the new layout")
    p.add_argument("--from", dest="source_format", metavar="FORMAT", help="the source's format (default: told from its files)")
    p.add_argument("--classes", metavar="CONFIG", help="config whose `classes` map the label values")
    overwrite_argument(p)


def _run_args(p: argparse.ArgumentParser) -> None:
    _config(p)
    p.add_argument("--from", dest="start", metavar="STEP", help="make this step and all later ones anew")
    p.add_argument("--only", metavar="STEP", help="make this step alone (of a pipeline also several: a,b)")
    overwrite_argument(p)


def _demo_args(p: argparse.ArgumentParser) -> None:
    p.add_argument("--out", default="demo", metavar="DIR", help="directory of the demo (default: demo)")
    p.add_argument("--seed", type=int, default=0, help="another town (default: 0)")
    overwrite_argument(p)


def _show_check(result: dict[str, Any]) -> str:
    from swath.steps.check import render

    return render(result)


def _show_info(result: dict[str, Any]) -> str:
    from swath.steps.info import render

    return render(result)


def _show_sample(r: dict[str, Any]) -> str:
    from swath.disk.samples.leakage import leak_lines

    rows = [(s, r["samples"][s], *(c["share"] for c in classes.values())) for s, classes in r["classes"].items()]
    head = ["split", "samples", *next(iter(r["classes"].values()))]
    notes = [counts("dropped", r["dropped"]), counts("events", r["events"]), *leak_lines(r["leakage"])]
    return "\n".join([table(rows, head), *filter(None, notes), f"store: {r['store']}"])


def _show_analyze(result: dict[str, Any]) -> str:
    from swath.steps.analyze import render

    return render(result)


def _show_train(r: dict[str, Any]) -> str:
    best = r["best"]
    return (f"best: step {best['step']} (epoch {best['epoch']:.1f}), validation mean IoU {best['mean_iou']:.4f}\n"
            f"{r['steps']} steps in {r['seconds']:.0f} s from {r['data']}, {r['seconds_waiting_for_data']:.1f} s "
            f"waiting for data\nbundle: {r['bundle']}")  # fmt: skip


def _show_scores(r: dict[str, Any]) -> str:
    keys = ("iou", "f1", "precision", "recall", "pixels")
    rows = [(name, *(c[k] for k in keys)) for name, c in r["classes"].items()]
    overall = " ".join(f"{k} {r[k]:.4f}" for k in ("mean_iou", "overall_accuracy", "kappa") if r[k] is not None)
    return "\n".join(filter(None, [table(rows, ["class", *keys]), overall, counts("events", r.get("events", {}))]))


def _show_predict(r: dict[str, Any]) -> str:
    rows = [(m["map"].rpartition("/")[2], m["executor"], m["tiles"], m["margin"], m["exact"], m["seconds"]) for m in r["maps"]]
    speed = f"\n{r['megapixels_per_second']:.2f} megapixels per second" if r["megapixels_per_second"] else ""
    return table(rows, ["map", "executor", "tiles", "margin", "exact", "seconds"]) + speed


def _show_vectorize(r: dict[str, Any]) -> str:
    rows = [(name, c["polygons"], c["area_m2"]) for name, c in r["classes"].items()]
    notes = filter(None, [counts("dropped", r.get("dropped", {}))])
    return "\n".join([table(rows, ["class", "polygons", "area_m2"]), *notes, f"vectors: {r['vectors']}"])


def _show_run(r: dict[str, Any]) -> str:
    if "pipeline" in r:
        return table([[s["name"], s["verb"], "made" if s["executed"] else "done before"] for s in r["steps"]], ("step", "verb", "state"))
    lines = [_show_scores(r["scores"])] if r.get("scores") else []
    lines += [f"map: {m['map']}" for m in r["maps"]] + [f"vectors: {v}" for v in r["vectors"]]
    lines += [f"picture: {r['picture']}"] if r.get("picture") else []
    return "\n".join([*lines, f"run: {r['run']}"])


def _show_verify(r: dict[str, Any]) -> str:
    return "\n".join(
        [*r["faults"], f"{r['kind']} {r['path']}: " + ("as written" if r["ok"] else f"{len(r['faults'])} faults")]
    )


def _show_convert(r: dict[str, Any]) -> str:
    lost = [f"lost: {x}" for x in r["lost"]]
    return "\n".join([table(r["samples"].items(), ["split", "samples"]), *lost, *r["notes"], f"{r['to']}: {r['out']}"])


def _show_json(r: dict[str, Any]) -> str:
    return json.dumps(r, indent=2)


VERBS: dict[str, Verb] = {
    "check": Verb("an audit of all scenes: everything that would spoil the map", "swath check roofs.yaml", _check_args,
                  lambda a, o: call("check")(*a.things, overrides=o, faults=a.faults, overwrite=a.overwrite), _show_check),
    "sample": Verb("a store of samples, cut, labelled, split and filtered", "swath sample roofs.yaml sample.tile=512",
                   _sample_args, lambda a, o: call("sample")(a.config, *o, overwrite=a.overwrite), _show_sample),
    "analyze": Verb("a preview of the samples: class shares, filters, thresholds, leaks", "swath analyze roofs.yaml",
                    _analyze_args, lambda a, o: call("analyze")(a.config, *o, search=a.search), _show_analyze),
    "train": Verb("a model bundle, best and last, with curves", "swath train roofs.yaml train.budget=10m", _train_args,
                  lambda a, o: call("train")(a.config, *o, resume=a.resume, overwrite=a.overwrite), _show_train),
    "evaluate": Verb("exact scores on labelled scenes", "swath evaluate runs/roofs scenes.csv --split tst", _evaluate_args,
                     lambda a, o: call("evaluate")(a.model, a.scenes, *o, split=None if a.split == "all" else a.split,
                                                      source=_sources(a.source)),
                     _show_scores),
    "predict": Verb("a map of every input raster, a Cloud-Optimized GeoTIFF on its own grid",
                    "swath predict runs/roofs new/*.tif --out maps", _predict_args,
                    lambda a, o: call("predict")(a.model, a.inputs, *o, out=a.out, source=_sources(a.source),
                                                     split=a.split, overwrite=a.overwrite), _show_predict),
    "vectorize": Verb("the polygons of a map as a GeoPackage", "swath vectorize maps/town_map.tif --out town.gpkg",
                      _vectorize_args,
                      lambda a, o: call("vectorize")(a.map, *o, out=a.out, overwrite=a.overwrite), _show_vectorize),
    "info": Verb("what a thing is: raster, vector, store, bundle, run, map, manifest, STAC item or config", "swath info runs/roofs", _info_args,
                 lambda a, o: call("info")(a.thing, *o), _show_info),
    "run": Verb("the whole chain: check, sample, train, evaluate, predict, vectorize", "swath run roofs.yaml", _run_args,
                lambda a, o: call("run")(a.config, *o, start=a.start, only=a.only, overwrite=a.overwrite), _show_run),
    "demo": Verb("the whole chain on a generated town, in under three minutes", "swath demo --out demo", _demo_args,
                 lambda a, o: call("demo")(a.out, *o, seed=a.seed, overwrite=a.overwrite), _show_run),
    "verify": Verb("the proof that a store, bundle, run or map is as it was written", "swath verify runs/roofs",
                   _verify_args,
                   lambda a, o: call("verify")(a.thing), _show_verify, settings=False),
    "convert": Verb("the same samples in another layout: a store, or one that other systems read",
                    "swath convert runs/roofs/samples.store --to webdataset --out shards", _convert_args,
                    lambda a, o: call("convert")(a.source, a.out, to=a.to, source_format=a.source_format,
                                                      classes=a.classes, overwrite=a.overwrite), _show_convert, settings=False),
    **TOOLS,
    "schema": Verb("the JSON Schema of configs, for editors", "swath schema > swath.schema.json", lambda p: None,
                   lambda a, o: call("schema")(), _show_json, settings=False),
}  # fmt: skip


def overview() -> str:
    """The text of `swath --help`."""
    lines = [f"  {name:<10} {verb.result}" for name, verb in VERBS.items()]
    return "\n".join([
        "swath run roofs.yaml          # rasters and polygons in, map, score and vectors out",
        "", "usage: swath VERB ... [section.key=value ...] [--json] [-q] [--debug]", "", "The result of `swath VERB` is ...",
        *lines, "", "swath VERB --help shows an example and the options of a verb; swath --version the version.",
    ])  # fmt: skip


def parser(name: str) -> argparse.ArgumentParser:
    """The parser of one verb; its help begins with an example."""
    verb = VERBS[name]
    p = _Parser(prog=f"swath {name}", usage=argparse.SUPPRESS, formatter_class=argparse.RawDescriptionHelpFormatter,
                description=f"{verb.example}\n\nThe result of `swath {name}` is {verb.result}."
                            + "\nSettings of the config can be overridden: section.key=value." * verb.settings)  # fmt: skip
    verb.arguments(p)
    p.add_argument("--json", action="store_true", help="print one JSON object on standard output")
    p.add_argument("-q", "--quiet", action="store_true", help="errors only")
    p.add_argument("--debug", action="store_true", help="show tracebacks")
    return p


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise ConfigError("usage", self.prog, message, f"see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a verb and returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] == "--version":
        print(json.dumps({"swath": __version__}) if "--json" in words else f"swath {__version__}")
        return 0
    before = signal.signal(signal.SIGTERM, _terminated)
    quiet_libraries()
    tolerant_output()
    as_json, debug = "--json" in words, "--debug" in words
    try:
        return _dispatch(words)
    except SwathError as e:
        return _failed(e, as_json=as_json, debug=debug)
    except KeyboardInterrupt:
        say("interrupted; finished parts are kept, the same command goes on (train: with --resume)")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as e:  # noqa: BLE001  the one boundary: whatever was not foreseen becomes one line
        return _failed(_unforeseen(e), as_json=as_json, debug=debug)
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _dispatch(words: list[str]) -> int:
    name, rest = words[0], words[1:]
    if name not in VERBS:
        raise ConfigError("verb-unknown", "swath", f"no verb '{name}'", did_you_mean(name, VERBS))
    overrides, others = separated(rest)
    if overrides and not VERBS[name].settings:
        raise ConfigError("override", overrides[0], f"`swath {name}` has no settings", "leave it out")
    args = parser(name).parse_args(others)
    set_verbosity(0 if args.quiet else 1)
    set_quiet(args.quiet)
    result = VERBS[name].call(args, overrides)
    good = result.get("ok", True)
    if args.json or not args.quiet or not good:
        print(json.dumps(result) if args.json else VERBS[name].show(result), flush=True)
    return 0 if good else 3


def separated(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """(settings such as `train.steps=10`, the other words) of a command line."""
    settings: list[str] = []
    others: list[str] = []
    for word, before in zip(words, ["", *words], strict=False):
        is_setting = _OVERRIDE.match(word) and before != "--source" and not Path(word).exists()
        (settings if is_setting else others).append(word)
    return settings, others


def _failed(error: SwathError, *, as_json: bool, debug: bool) -> int:
    if as_json:
        print(json.dumps({"ok": False, "error": error.as_dict()}), flush=True)
    print(f"error: {error.line()}", file=sys.stderr, flush=True)
    if debug:
        traceback.print_exception(error)
    return error.exit_code


def _unforeseen(error: Exception) -> SwathError:
    """A full disk or memory is a resource, a name of odd bytes is data; all else a bug of ours, its traceback kept in a file."""
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return ResourceError(
            "memory", "memory", "there is not enough memory", "lower predict.memory, train.batch_size or sample.tile"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError("disk-full", error.filename or "disk", "the disk is full", "free some space")
    if isinstance(error, UnicodeEncodeError) and _BYTES.search(error.object):
        name = next(part for part in re.split(r'["\n]', error.object) if _BYTES.search(part))
        return DataError("name-bytes", ascii(name)[1:-1], "the name holds bytes that are no letters here", "rename the file "
                         "or folder in UTF-8 (or, where it is, set a locale of UTF-8: LC_ALL=C.UTF-8)")  # fmt: skip
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="swath-", suffix=".log", delete=False) as log:
        traceback.print_exception(error, file=log)
    text = f"{type(error).__name__}: {error}".strip()
    found = SwathError("bug", "swath", f"this is a bug: {text}", f"please report it with {log.name}")
    found.__cause__ = error
    return found


def _terminated(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
