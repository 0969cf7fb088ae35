"""Every bad config and override is refused with its place, the value seen and a remedy, as a config error (exit 2)."""

from __future__ import annotations

import pytest

from swath.config import build_config
from swath.core.errors import ConfigError
from swath.yamltext import parse_yaml

SHORT = 'scenes: scenes.csv\nclasses: {field: class, 1: {name: roof, color: "#efcd08"}}\n'

# text after the two lines of SHORT, the place, the message, the remedy
BAD_SECTIONS = [
    ("train: {epoch: 3}", "3:9", "unknown key 'train.epoch'", "did you mean 'epochs'?"),
    ("train:\n  lr: 1\n  bach_size: 4", "5:3", "unknown key 'train.bach_size'", "did you mean 'batch_size'?"),
    ("trian: {lr: 1}", "3:1", "unknown key 'trian'", "did you mean 'train'?"),
    ("colour: red", "3:1", "unknown key 'colour'", "known: augment, bands, classes"),
    ("1: x", "3:1", "Keys should be strings, got 1", "swath schema"),
    ("train: {lr: -1}", "3:9", "train.lr: Input should be greater than 0, got -1", "largest learning rate"),
    ("train: {lr: fast}", "3:9", "train.lr: Input should be a valid number", "largest learning rate"),
    ("train: {lr: [1, 2]}", "3:9", "train.lr: Input should be a valid number", "largest learning rate"),
    ("train: {lr: nan}", "3:9", "train.lr: Input should be", "largest learning rate"),
    ("train: {budget: 10x}", "3:9", "train.budget: write a duration such as 90s, 10m or 1h30m, got '10x'", "seconds"),
    ("train: {budget: 10 m 5}", "3:9", "train.budget: write a duration", "seconds of training"),
    ("train: {budget: 0}", "3:9", "train.budget: Input should be greater than 0, got 0", "seconds of training"),
    ("train: {budget: -5m}", "3:9", "train.budget: write a duration", "seconds of training"),
    ("train: {steps: 2.5}", "3:9", "train.steps: Input should be a valid integer", "optimiser steps"),
    ("train: {batch_size: 0}", "3:9", "greater than or equal to 1, got 0", "samples per step"),
    ("train: {batch_size: many}", "3:9", "train.batch_size: Input should be a valid integer", "samples per step"),
    ("train: {precision: fp16}", "3:9", "'auto', 'fp32' or 'bf16', got 'fp16'", "arithmetic"),
    ("train: {monitor: accuracy}", "3:9", "'mean_iou_foreground' or 'loss', got 'accuracy'", "chooses the best"),
    ("train: {loss: ce}", "3:9", "train.loss: Input should be a valid dictionary, got 'ce'", "loss name -> weight"),
    ("train: {class_weights: some}", "3:9", "class_weights: Input should be 'none' or 'auto'", "inverse square root"),
    ("train: {seed: -1}", "3:9", "greater than or equal to 0, got -1", "seed of everything"),
    ("train: [1]", "3:1", "train: Input should be a valid dictionary", "swath schema"),
    ("train: 5", "3:1", "train: Input should be a valid dictionary", "swath schema"),
    ("sample: {tile: big}", "3:10", "sample.tile: Input should be a valid integer", "side of a sample in pixels"),
    ("sample: {tile: 3.5}", "3:10", "or Input should be 'auto', got 3.5", "side of a sample in pixels"),
    ("sample: {overlap: -1}", "3:10", "sample.overlap: Input should be greater", "a fraction below 1, or pixels"),
    ("sample: {edge: keep}", "3:10", "'shift', 'pad' or 'drop', got 'keep'", "right and bottom edge"),
    ("sample: {min_annotated: 1.2}", "3:10", "less than or equal to 1, got 1.2", "annotated pixels"),
    ("sample: {class_min: {roof: 1.2}}", "3:22", "sample.class_min.roof: Input should be less", "least share"),
    ("sample:\n  class_min:\n    roof: x", "5:5", "class_min.roof: Input should be a valid number", "least share"),
    ("sample: {max_nodata: -0.1}", "3:10", "sample.max_nodata", "largest share"),
    ("split: {val: 1.5}", "3:9", "split.val: Input should be less than or equal to 1, got 1.5", "validation"),
    ("split: {block: x}", "3:9", "split.block: Input should be a valid integer", "side of a spatial block"),
    ("sample: {class_min: {roofs: 0.1}}", "3:22", "sample.class_min: no class is named 'roofs'", "did you mean 'roof'"),
    ("train: {class_weights: {tree: 2}}", "3:25", "no class is named 'tree'", "roof"),
    ("vectorize: {classes: [roofs]}", "3:13", "no class is named 'roofs'", "did you mean 'roof'"),
    ("split: {by: tile}", "3:9", "'interleave' or 'none', got 'tile'", "unit that is held out"),
    ("bands: {select: 3}", "3:9", "bands.select: Input should be a valid tuple, got 3", "1-based number or name"),
    ("bands: {select: [1.5]}", "3:18", "bands.select.0: Input should be a valid integer", "1-based number or name"),
    ("bands: {method: zscore}", "3:9", "'dtype' or 'none', got 'zscore'", "affine scaling"),
    ("bands: {nodata: 0}", "3:9", "'all', 'any' or 'none', got 0", "a pixel is nodata when"),
    ("labels: {invalid: drop}", "3:10", "'fix', 'skip' or 'error', got 'drop'", "invalid geometries"),
    ("labels: {all_touched: maybe}", "3:10", "labels.all_touched: Input should be a valid boolean", "burn every pixel"),
    ("model: {depth: 9}", "3:9", "model.depth: Input should be less than or equal to 7, got 9", "pooling levels"),
    ("model: {head: two}", "3:9", "'multiclass' or 'binary', got 'two'", "one score per class"),
    ("model: {dropout: 1.2}", "3:9", "model.dropout: Input should be less than or equal to 1", "dropout probability"),
    ("augment: {hflip: 1.2}", "3:11", "augment.hflip: Input should be less than or equal to 1, got 1.2", "left-right"),
    ("augment: {rot90: maybe}", "3:11", "augment.rot90: Input should be a valid boolean", "quarter turns"),
    ("augment: {shear: 90}", "3:11", "augment.shear: Input should be less than 90, got 90", "largest shear"),
    ("predict: {margin: half}", "3:11", "predict.margin: Input should be 'exact' or 'effective'", "context around"),
    ("predict: {save: [x]}", "3:18", "predict.save.0: Input should be 'classes', 'probabilities'", "what is written"),
    ("predict: {save: classes}", "3:11", "predict.save: Input should be a valid tuple", "what is written"),
    ("predict: {memory: 2XB}", "3:11", "predict.memory: write a size such as 500MB or 2GB, got '2XB'", "bytes"),
    ("vectorize: {min_area_m2: -1}", "3:13", "greater than or equal to 0, got -1", "smaller polygons"),
    ("runtime: {memory: 0}", "3:11", "runtime.memory: Input should be greater than 0, got 0", "bytes of samples"),
    ("output: 5", "3:1", "output: Input should be a valid string, got 5", "directory of the run"),
    ("train: {lr: 1, lr: 2}", "3:16", "the key 'lr' stands twice", "keep one of them"),
    ("train: {lr: !!python/name:os.system x}", "3:9", "tag", "write a plain value"),
    ("train: {lr: 1", "3:14", "not valid YAML", "check indentation and quotes"),
]

BAD_CLASSES = [
    ("classes: [a, b]", "2:1", "classes: Input should be a valid dictionary", "swath schema"),
    ("classes: {}", "2:1", "fewer than two classes", "name at least one class"),
    ("classes: {a: b}", "2:11", "unknown key 'classes.a'", "known: field, ignore, unlabelled"),
    ("classes: {1: roof, feld: x}", "2:20", "unknown key 'classes.feld'", "did you mean 'field'?"),
    ("classes: {1: 5}", "2:11", "classes.1: Input should be a valid dictionary", "swath schema"),
    ("classes: {1: {}}", "2:11", "the key 'classes.1.name' is missing", "add it"),
    ("classes: {1: {name: a, colour: x}}", "2:24", "unknown key 'classes.1.colour'", "did you mean 'color'?"),
    ("classes: {1: {name: 7}}", "2:15", "classes.1.name: Input should be a valid string, got 7", "swath schema"),
    ("classes: {1: {name: a, source: [1.5]}}", "2:33", "classes.1.source.0: Input should be a valid integer", "schema"),
    ("classes: {1: {name: a, color: blue}}", "2:1", "'blue' is no colour", "write #rrggbb"),
    ("classes: {1: a, 2: a}", "2:1", "the same name stands twice: a", "give every class its own name"),
    ("classes: {1: {name: a, source: 3}, 2: {name: b, source: 3}}", "2:1", "same source value stands twice", "its own"),
    ("classes: {70000: a}", "2:1", "outside 0..65534", "use a smaller id"),
    ("classes: {-1: a}", "2:1", "outside 0..65534", "use a smaller id"),
    ("classes: {1: a, 1: b}", "2:17", "the key '1' stands twice", "keep one of them"),
    ("classes: {1: a, unlabelled: skip}", "2:17", "'background' or 'ignore', got 'skip'", "pixels without a label"),
    ("classes: {1: a, ignore: [[2]]}", "2:26", "classes.ignore.0: Input should be", "never count"),
]

WHOLE = [
    ("classes: {1: roof}", "c.yaml", "the key 'scenes' is missing", "add it"),
    ("scenes: a.csv", "c.yaml", "the key 'classes' is missing", "add it"),
    ("scenes: 5\nclasses: {1: a}", "c.yaml:1:1", "scenes: Input should be a valid string", "manifest"),
    ("scenes: [a.tif]\nclasses: {1: a}", "c.yaml:1:", "Input should be a valid dictionary", "manifest"),
    ("", "c.yaml", "holds no keys", "begin with `scenes:` and `classes:`"),
    ("[scenes, classes]", "c.yaml", "holds no keys", "begin with"),
    ("just text", "c.yaml", "holds no keys", "begin with"),
]

BAD = [
    *((SHORT + text, f"c.yaml:{place}", told, fix) for text, place, told, fix in BAD_SECTIONS),
    *((f"scenes: a.csv\n{text}", f"c.yaml:{place}", told, fix) for text, place, told, fix in BAD_CLASSES),
    *WHOLE,
]


@pytest.mark.parametrize(("text", "where", "told", "fix"), BAD, ids=[b[0].removeprefix(SHORT)[:40] for b in BAD])
def test_a_bad_config_names_place_value_and_remedy(text: str, where: str, told: str, fix: str) -> None:
    with pytest.raises(ConfigError) as error:
        build_config(parse_yaml(text, "c.yaml"))
    found = error.value
    assert found.exit_code == 2
    assert found.where.startswith(where) if where.endswith(":") else found.where == where
    assert told in found.message
    assert fix in found.fix
    assert "\n" not in found.line()
    assert "table" not in found.message


def test_several_problems_are_counted_but_one_is_told() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'train\.lrr' \(2 more problems\)"):
        build_config(parse_yaml(SHORT + "train: {lrr: 1, steps: x}\nsample: {tile: big}", "c.yaml"))


@pytest.mark.parametrize(
    ("override", "where", "told", "fix"),
    [
        ("train.lr", "train.lr", "is no override", "write section.key=value"),
        ("=3", "=3", "is no override", "write section.key=value"),
        ("train.lr.deep=3", "train.lr.deep=3", "'lr' holds a value, no section", "override that key itself"),
        ("scenes.0=3", "scenes.0=3", "'scenes' holds a value", "override that key itself"),
        ("train.lr=-1", "command line", "train.lr: Input should be greater than 0, got -1", "largest learning rate"),
        ("train.epoch=3", "command line", "unknown key 'train.epoch'", "did you mean 'epochs'?"),
        ("trian.lr=3", "command line", "unknown key 'trian'", "did you mean 'train'?"),
        ("sample.tile=big", "command line", "sample.tile: Input should be", "side of a sample"),
        ("predict.save=[maps]", "command line", "predict.save: Input should be 'classes'", "what is written"),
        ("classes.1.colour=red", "command line", "unknown key 'classes.1.colour'", "did you mean 'color'?"),
        ("classes.².name=x", "command line", "unknown key 'classes.²'", "known: field"),
        ("train.lr=[1", "command line:1:3", "not valid YAML", "check indentation"),
        ("train=3", "command line", "train: Input should be a valid dictionary", "swath schema"),
        (".=3", "command line", "unknown key ''", "known: augment"),
    ],
)
def test_a_bad_override_names_the_command_line(override: str, where: str, told: str, fix: str) -> None:
    with pytest.raises(ConfigError) as error:
        build_config(parse_yaml(SHORT + "train: {lr: 1}\n", "c.yaml"), [override])
    assert error.value.where == where
    assert told in error.value.message
    assert fix in error.value.fix
    assert error.value.exit_code == 2
