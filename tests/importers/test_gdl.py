"""geo-deep-learning: what its keys, lists, colour maps and samples become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
import shapely
import yaml
from tiny_town import UTM, corner, pixels, squares, truth, write_town

import swath
from swath.config import Config, load_config
from swath.core.errors import DataError

GLOBAL = {"samples_size": 32, "num_classes": 1, "number_of_bands": 3, "model_name": "unetsmall"}
CI_CSV = """./data/22978945_15.tif,,./data/massachusetts_buildings.gpkg,properties/class,trn
./data/23429155_15.tif,,./data/massachusetts_buildings.gpkg,properties/class,tst
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A town with geo-deep-learning's list."""
    town = write_town(tmp_path / "town").parent
    (town / "images.csv").write_text("north.tif,,north.gpkg,class,trn\nwest.tif,,west.gpkg,class,tst\n")
    return town


class Imported:
    """The config and the report of an import."""

    def __init__(self, result: dict[str, Any]) -> None:
        self.result = result
        self.config: Config = load_config(result["config"])
        self.rows = {row["key"]: row for row in result["report"]}

    def note(self, key: str) -> str:
        return str(self.rows[key]["note"])


def take(folder: Path, **sections: dict[str, Any]) -> Imported:
    """The import of a yaml with these sections beside the least."""
    document = {
        "global": {**GLOBAL, **sections.pop("global_", {})},
        "sample": {"prep_csv_file": "images.csv", **sections.pop("sample", {})},
        "training": {"batch_size": 2, "num_epochs": 10, **sections.pop("training", {})},
        **sections,
    }
    (folder / "old.yaml").write_text(yaml.safe_dump(document))
    return Imported(swath.import_("gdl", folder / "old.yaml", out=folder / "new", overwrite=True))


def test_one_class_makes_two_outputs(folder: Path) -> None:
    found = take(folder)
    assert found.config.legend().ids == (0, 1)
    assert found.note("global.num_classes").startswith("2 outputs, ids 0 to 1")
    assert take(folder, global_={"num_classes": 4}).config.legend().ids == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("swap", "count", "order"), [(True, 3, (3, 2, 1)), (True, 5, (3, 2, 1, 4, 5)), (False, 4, (1, 2, 3, 4)), ("True", 3, (3, 2, 1))]
)
def test_bgr_is_the_order_of_bands(swap: Any, count: int, order: tuple[int, ...], folder: Path) -> None:
    found = take(folder, global_={"BGR_to_RGB": swap, "number_of_bands": count})
    assert found.config.bands.select == order
    assert found.rows["global.BGR_to_RGB"]["became"] == "bands.select"


def test_vector_bands_are_a_source(folder: Path, make_vector: Any) -> None:
    roads = shapely.LineString([corner(0) @ (0, 40), corner(0) @ (96, 60)])
    make_vector(folder / "roads.gpkg", [roads, roads], {"kind": [1, 2]})
    aux = {"aux_vector_file": "roads.gpkg", "aux_vector_attrib": "kind", "aux_vector_ids": [2, 1], "aux_vector_scale": 0.1}
    found = take(folder, global_={"number_of_bands": 5, "BGR_to_RGB": True, "aux_vector_dist_log": False, **aux})
    source = found.config.sources["aux_vector"]
    assert list(found.config.sources) == ["image", "aux_vector"]
    assert found.config.sources["image"].bands == (3, 2, 1)
    assert found.config.bands.select is None
    assert (source.vector, source.field, source.ids) == ("../roads.gpkg", "kind", (2, 1))
    assert (source.encode, source.log, source.scale) == ("distance", False, 0.1)
    assert found.rows["global.aux_vector_ids"]["became"] == "sources.aux_vector"
    assert found.rows["global.number_of_bands"]["became"] == "sources.image"
    stored = swath.sample(found.result["config"], "split.buffer=4")
    assert stored["samples"]["trn"] > 0
    whole = take(folder, global_={"number_of_bands": 4, "aux_vector_file": "roads.gpkg", "aux_vector_dist_maps": False})
    assert (whole.config.sources["aux_vector"].encode, whole.config.sources["aux_vector"].field) == ("binary", None)
    assert whole.config.sources["image"].bands == (1, 2, 3)


def test_settings_of_a_vector_without_its_file(folder: Path) -> None:
    found = take(folder, global_={"aux_vector_dist_maps": True})
    assert found.config.sources == {}
    assert "has no effect" in found.note("global.aux_vector_dist_maps")


@pytest.mark.parametrize("text", ["type: Feature\nproperties: {'eo:gsd': 0.4}\n", "properties: {'eo:gsd': 0.4}\n", "'eo:gsd': 0.4\n"])
def test_metadata_planes_are_sources(text: str, folder: Path) -> None:
    (folder / "meta.yaml").write_text(text)
    (folder / "images.csv").write_text("north.tif,meta.yaml,north.gpkg,class,trn\nwest.tif,meta.yaml,west.gpkg,class,tst\n")
    found = take(folder, global_={"number_of_bands": 5, "meta_map": {"properties/eo:gsd": "scaled_channel"}})
    assert found.config.sources["image"].bands == (1, 2, 3)
    assert found.config.sources["eo_gsd"].encode == "scaled"
    assert found.rows["global.meta_map"]["became"] == "sources.eo_gsd"
    assert [f for f in swath.check(found.result["config"], overrides=["split.buffer=4"])["findings"] if f["level"] == "error"] == []


def test_coordinate_channels(folder: Path) -> None:
    wish = {"coordconv_convert": True, "coordvonc_scale": 0.4, "coordconv_radius_channel": True, "coordconv_noise": 0.1}
    found = take(folder, global_=wish)
    given = found.config.model.coordconv
    assert given is not None
    assert (given.where, given.scale, given.radius, given.centered, given.noise) == ("all", 0.4, True, True, 0.1)
    assert found.rows["global.coordvonc_scale"]["became"] == "model.coordconv"
    off = take(folder, global_={"coordconv_convert": False, "coordvonc_scale": 0.4})
    assert off.config.model.coordconv is None
    assert "coordconv_convert is off" in off.note("global.coordvonc_scale")


def test_a_bucket_is_read_in_place(folder: Path) -> None:
    found = take(folder, global_={"bucket_name": "imagery"})
    lines = Path(found.result["manifest"]).read_text().splitlines()
    assert lines[1] == "s3://imagery/north.tif,s3://imagery/north.gpkg,class,trn"
    assert found.config.runtime.remote is True
    assert found.rows["global.bucket_name"]["became"] == "runtime.remote, scenes"
    assert take(folder).config.runtime.remote is False


def test_the_fourth_band_begins_as_green(folder: Path) -> None:
    wish = {"modalities": "RGBN", "model_name": "deeplabv3_resnet101", "number_of_bands": 4}
    assert take(folder, global_={**wish, "concatenate_depth": "baseline"}).config.model.adapter == "copy:2"
    late = take(folder, global_={**wish, "concatenate_depth": "layer3"})
    assert late.config.model.adapter is None
    assert "not yet in Swath" in late.note("global.concatenate_depth")


def test_limits_and_stratification(folder: Path) -> None:
    found = take(folder, sample={"use_stratification": 2}, training={"num_trn_samples": 10, "num_tst_samples": 4})
    assert found.config.sample.limit == {"trn": 10, "tst": 4}
    assert found.config.split.stratify is True


def test_analysis_is_a_command(folder: Path) -> None:
    found = take(folder, data_analysis={"create_csv": True, "optimal_parameters_search": True})
    assert found.rows["data_analysis.optimal_parameters_search"]["became"] == "swath analyze"


def test_both_readings_stand_in_the_report(folder: Path) -> None:
    found = take(
        folder, global_={"scale_data": [0, 1], "max_used_ram": 2000},
        sample={"mask_reference": True, "sampling_method": {"class_proportion": {"1": 2.5}}},
        training={"dropout": False, "dropout_prob": 0.3, "augmentation": {"random_radiom_trim_range": [0.1, 2.0]}},
        inference={"smooth_prediction": True, "overlap": 2, "chunk_size": 512},
    )  # fmt: skip
    assert found.config.bands.method == "dtype"
    assert found.config.bands.nodata_value == 0
    assert found.config.predict.blend == "spline"
    assert found.config.predict.tile == 512
    for key in ("global.scale_data", "global.max_used_ram", "sample.mask_reference", "inference.smooth_prediction",
                "inference.overlap", "inference.chunk_size", "training.dropout", "training.dropout_prob",
                "sample.sampling_method.class_proportion", "training.augmentation.random_radiom_trim_range"):  # fmt: skip
        assert all(word in found.note(key) for word in ("the text says", "the source", "taken:")), key
    assert "always trims 0.9 %" in found.note("training.augmentation.random_radiom_trim_range")
    assert "taken: 2000 MB" in found.note("global.max_used_ram")
    assert "taken: 15 percent" in take(folder, global_={"max_used_ram": 15}).note("global.max_used_ram")


def test_sampling_keys(folder: Path) -> None:
    method = {"min_annotated_percent": 4.5, "class_proportion": {"1": 10, "2": 5}}
    found = take(folder, sample={"val_percent": 20, "overlap": 25, "use_stratification": 2, "sampling_method": method})
    assert found.config.split.val == 0.2
    assert found.config.sample.overlap == 0.25
    assert found.config.sample.min_annotated == 0.045
    assert found.config.sample.class_min == {"class 1": 0.1}
    assert found.config.sample.class_mode == "all"
    assert found.config.sample.edge == "pad"
    assert found.config.labels.extent == "labels"
    assert "no class 2: left out" in found.note("sample.sampling_method.class_proportion")
    older = take(folder, sample={"min_annotated_percent": 10})
    assert older.config.sample.min_annotated == 0.1


def test_the_analysed_filter_counts_where_there_is_no_other(folder: Path) -> None:
    analysis = {"sampling_method": {"min_annotated_percent": 30, "class_proportion": {"1": 3}}}
    alone = take(folder, data_analysis=analysis)
    assert (alone.config.sample.min_annotated, alone.config.sample.class_min) == (0.3, {"class 1": 0.03})
    both = take(folder, data_analysis=analysis, sample={"sampling_method": {"min_annotated_percent": 5}})
    assert both.config.sample.min_annotated == 0.05
    assert "the section sample has its own" in both.note("data_analysis.sampling_method.min_annotated_percent")


def test_training_keys(folder: Path) -> None:
    augmentation = {"rotate_limit": 45, "rotate_prob": 0.5, "hflip_prob": 0.25, "geom_scale_range": [0.8, 1.1], "noise": 3}
    found = take(
        folder,
        training={
            "batch_size": 6, "num_epochs": 40, "target_size": 16, "loss_fn": "Focal", "optimizer": "sgd",
            "learning_rate": 0.01, "weight_decay": 0.1, "step_size": 4, "gamma": 0.9, "class_weights": [0.1, 0.9],
            "dropout": False, "dropout_prob": 0.3, "augmentation": augmentation, "ignore_index": 255,
        },
    )  # fmt: skip
    train = found.config.train
    assert (train.batch_size, train.epochs, train.evaluations, train.crop) == (6, 40, 40, 16)
    assert train.loss == {"focal": {"weight": 1, "gamma": 2}}
    assert (train.optimizer, train.lr, train.weight_decay, train.monitor) == ("sgd", 0.01, 0.1, "loss")
    assert train.schedule == {"name": "step", "every": 0.1, "gamma": 0.9}
    assert train.class_weights == {"background": 0.1, "class 1": 0.9}
    assert found.config.model.dropout == 0.3
    assert "dropout_prob wins" in found.note("training.dropout")
    assert found.config.classes.ignore == (255,)
    augment = found.config.augment
    assert (augment.preset, augment.rotate, augment.hflip, augment.scale) == ("none", 45, 0.25, 0.2)
    assert found.rows["training.augmentation.noise"]["became"] is None
    assert "raw values" in found.note("training.augmentation.noise")


def test_adam_ignored_weight_decay(folder: Path) -> None:
    found = take(folder, training={"optimizer": "adam", "weight_decay": 0.5})
    assert found.config.train.weight_decay == 0.5
    assert found.note("training.weight_decay") == "acts here; the old adam ignored it"
    assert take(folder).config.train.weight_decay == 0


def test_a_schedule_that_never_acts_is_constant(folder: Path) -> None:
    found = take(folder, training={"step_size": 10, "gamma": 0.9})
    assert found.config.train.schedule == {"name": "constant"}
    assert take(folder).config.train.schedule == {"name": "constant"}


def test_no_epochs_is_an_evaluation(folder: Path) -> None:
    found = take(folder, training={"num_epochs": 0})
    assert found.config.train.epochs is None
    assert any(c.startswith("swath evaluate MODEL") for c in found.result["commands"])


@pytest.mark.parametrize(
    ("weights", "expected"),
    [([1, 2, 3, 4], {"background": 1, "class 1": 2, "class 2": 3, "class 3": 4}),
     ([2, 3, 4], {"background": 1, "class 1": 2, "class 2": 3, "class 3": 4}), ([1, 2], "none")],
)  # fmt: skip
def test_class_weights_are_by_name(weights: list[float], expected: Any, folder: Path) -> None:
    found = take(folder, global_={"num_classes": 3}, training={"class_weights": weights})
    assert found.config.train.class_weights == expected


def test_ignoring_zero_keeps_the_ids(folder: Path) -> None:
    found = take(folder, global_={"num_classes": 3}, training={"ignore_index": 0, "class_weights": [1, 2, 3]})
    assert found.config.legend().ids == (1, 2, 3)
    assert found.config.classes.unlabelled == "ignore"
    assert found.config.train.class_weights == {"class 1": 1, "class 2": 2, "class 3": 3}
    assert "shifts every class id" in found.note("training.ignore_index")
    alone = take(folder, training={"ignore_index": 0})
    assert alone.config.legend().ids == (0, 1)
    assert take(folder, training={"ignore_index": -1}).config.classes.ignore == ()


def test_target_ids_are_sources_in_order(folder: Path) -> None:
    found = take(folder, global_={"num_classes": 2}, sample={"target_ids": [2, 1]})
    legend = found.config.legend()
    assert legend.from_values(np.array([0, 1, 2])).tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("name", "network", "encoder"),
    [
        ("unet", "unet", None), ("unetsmall", "unet", None), ("checkpointed_unet", "unet", None),
        ("ternausnet", "smp-unet", "vgg11"), ("inception", "unet", None), ("fcn_resnet101", "unet", None),
        ("deeplabv3_resnet101", "smp-deeplabv3", "resnet101"), ("unet_pretrained", "smp-unet", "resnext50_32x4d"),
        ("pan_pretrained", "smp-pan", "se_resnext101_32x4d"), ("fpn_pretrained", "smp-fpn", "resnext50_32x4d"),
        ("pspnet_pretrained", "smp-pspnet", "resnext50_32x4d"), ("manet_pretrained", "smp-manet", "resnext50_32x4d"),
        ("deeplabv3+_pretrained", "smp-deeplabv3plus", "resnext50_32x4d"),
        ("spacenet_unet_efficientnetb5_pretrained", "smp-unet", "efficientnet-b5"),
        ("spacenet_unet_senet152_pretrained", "smp-unet", "senet154"),
        ("spacenet_unet_baseline_pretrained", "smp-unet", "vgg11"), ("UNET", "unet", None),
    ],
)  # fmt: skip
def test_every_network_has_a_name_or_a_reason(name: str, network: str, encoder: str | None, folder: Path) -> None:
    found = take(folder, global_={"model_name": name})
    assert (found.config.model.name, found.config.model.encoder) == (network, encoder)
    assert found.config.model.pretrained == ("imagenet" if name.endswith("_pretrained") else None)
    if name in ("inception", "fcn_resnet101"):
        assert found.rows["global.model_name"]["became"] is None
        assert "not yet in Swath" in found.note("global.model_name")


def test_networks_exist_in_the_zoo() -> None:
    from swath.importers.gdl_names import LOSSES, MODELS, OPTIMISERS
    from swath.nets.losses import LOSSES as OURS
    from swath.nets.optimisers import OPTIMISERS as OUR_OPTIMISERS
    from swath.nets.zoo import ZOO

    assert {options["name"] for options, _ in MODELS.values()} <= set(ZOO)
    assert {name for loss, _ in LOSSES.values() for name in loss} <= set(OURS)
    assert {name for name, _ in OPTIMISERS.values()} <= set(OUR_OPTIMISERS)


def test_unwanted_weights_are_not_loaded(folder: Path) -> None:
    found = take(folder, global_={"model_name": "unet_pretrained"}, training={"pretrained": False})
    assert found.config.model.pretrained is None
    assert "the text says this key decides" in found.note("training.pretrained")


@pytest.mark.parametrize("key", ["training.state_dict_path", "inference.state_dict_path"])
def test_weights_are_not_taken_over(key: str, folder: Path) -> None:
    section, _, name = key.partition(".")
    found = take(folder, **{section: {name: "checkpoint.pth.tar"}})
    assert found.note(key).startswith("not yet: weights")
    assert found.rows[key]["became"] is None


def test_preprocessing_path(folder: Path) -> None:
    found = take(folder, global_={"preprocessing_path": "somewhere"})
    assert found.note("global.preprocessing_path") == "dropped: only built default paths"


def test_the_list_of_the_seed(tmp_path: Path, data_dir: Path) -> None:
    (tmp_path / "images_to_samples_ci_csv.csv").write_text(CI_CSV.replace("./data", str(data_dir / "massachusetts")))
    result = swath.import_("gdl-csv", tmp_path / "images_to_samples_ci_csv.csv", out=tmp_path / "new")
    scenes = swath_scenes(result)
    assert [(s.split, s.field) for s in scenes] == [("trn", "class"), ("tst", "class")]
    assert load_config(result["config"]).legend().ids == (0, 1)
    assert swath.check(result["config"])["ok"]


def test_the_list_of_the_seed_without_its_files(tmp_path: Path) -> None:
    (tmp_path / "ci.csv").write_text(CI_CSV)
    result = swath.import_("gdl-csv", tmp_path / "ci.csv", out=tmp_path / "new", allow_missing=True)
    assert result["scenes"] == 2
    lines = (tmp_path / "new" / "scenes.csv").read_text().splitlines()
    assert lines[0] == "image,labels,field,split"
    assert lines[1] == "../data/22978945_15.tif,../data/massachusetts_buildings.gpkg,class,trn"
    assert len(result["missing"]) == 3


def swath_scenes(result: dict[str, Any]) -> Any:
    from swath.disk.scenes.manifest import read_manifest

    return read_manifest(result["manifest"])


def test_backslashes_are_slashes(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "north.tif").rename(folder / "a" / "b" / "c.tif")
    (folder / "images.csv").write_text("a\\b\\c.tif,,.\\north.gpkg,class,trn\nwest.tif,,west.gpkg,class,tst\n")
    found = take(folder)
    assert [s.image.name for s in swath_scenes(found.result)] == ["c.tif", "west.tif"]


def test_rows_for_validation_validate(folder: Path) -> None:
    (folder / "images.csv").write_text(
        "north.tif,,north.gpkg,class,trn\nsouth.tif,,south.gpkg,class,val\nwest.tif,,west.gpkg,class,tst\n"
    )
    found = take(folder, sample={"val_percent": 30})
    assert [s.split for s in swath_scenes(found.result)] == ["trn", "val", "tst"]
    assert "no effect" in found.note("sample.val_percent")


def test_short_rows_and_metadata(folder: Path) -> None:
    (folder / "north.yaml").write_text("gsd: 0.5\n")
    (folder / "images.csv").write_text("north.tif,north.yaml,north.gpkg,class,trn\n\nwest.tif\n")
    found = take(folder)
    scenes = swath_scenes(found.result)
    assert scenes[0].attributes == {"metadata": "../north.yaml"}
    assert (scenes[1].labels, scenes[1].split) == (None, None)


def test_texts_become_classes(folder: Path, make_vector: Any) -> None:
    boxes = [shapely.box(*(corner(0) @ (n * 10, 8)), *(corner(0) @ (n * 10 + 8, 0))) for n in range(3)]
    (folder / "north.gpkg").unlink()
    make_vector(folder / "north.gpkg", boxes, {"class": ["forest", "7", "water"]})
    (folder / "images.csv").write_text("north.tif,,north.gpkg,properties/class,trn\n")
    result = swath.import_("gdl-csv", folder / "images.csv", out=folder / "new")
    legend = load_config(result["config"]).legend()
    assert [(c.id, c.name) for c in legend.classes] == [(0, "background"), (7, "class 7"), (8, "forest"), (9, "water")]
    assert [legend.match(v) for v in ("7", "forest", "water")] == [1, 2, 3]


def test_colours_are_by_value(folder: Path) -> None:
    (folder / "colours.csv").write_text("value,name,colour\n255,train,#990060\n1,roof,#efcd08\n2,,#00f\n")
    result = swath.import_("gdl", folder / "colours.csv", out=folder / "new")
    legend = load_config(result["config"]).legend()
    assert [(c.id, c.name, c.rgb) for c in legend.classes if c.id] == [
        (1, "roof", (239, 205, 8)), (2, "class 2", (0, 0, 255)), (255, "train", (153, 0, 96)),
    ]  # fmt: skip
    assert legend.nodata not in legend.ids
    found = take(folder, visualization={"colormap_file": "colours.csv"})
    assert [(c.id, c.name) for c in found.config.legend().classes] == [(0, "background"), (1, "roof")]
    assert "no class 2, 255: left out" in found.note("visualization.colormap_file")


@pytest.mark.parametrize("row", ["1,a,#12", "x,a,#112233", "1,a"])
def test_a_wrong_colour_map(row: str, folder: Path) -> None:
    (folder / "colours.csv").write_text(f"value,name,colour\n{row}\n")
    with pytest.raises(DataError, match=r"colours.csv:2.*no value, name and colour"):
        take(folder, visualization={"colormap_file": "colours.csv"})


def test_inference_is_a_command(folder: Path) -> None:
    found = take(folder, inference={"img_dir_or_csv_file": "images.csv", "heatmaps": True})
    assert found.config.predict.save == ("classes", "probabilities")
    command = next(c for c in found.result["commands"] if "predict" in c)
    assert command == f"swath predict MODEL {folder / 'north.tif'} {folder / 'west.tif'} --out maps"


@pytest.mark.parametrize("name", ["samples32_overlap0_min-annot0_3bands", "samples32_overlap0_min-annot0_3bands_gdl-training"])
def test_a_folder_of_samples(name: str, tmp_path: Path) -> None:
    old = write_samples(tmp_path / name)
    result = swath.import_("gdl", old, out=tmp_path / "new")
    found = Imported(result)
    assert result["scenes"] == 10
    assert sorted(s.split for s in swath_scenes(result)) == ["trn"] * 6 + ["tst"] * 2 + ["val"] * 2
    assert found.config.sample.tile == 32
    assert found.config.classes.table[1].name == "class 1"
    with rasterio.open(swath_scenes(result)[0].image) as source:
        assert (source.count, source.shape) == (3, (32, 32))
    assert swath.check(result["config"])["ok"]
    assert "taken: any name" in found.note("(folder)")


def test_samples_of_bytes_are_scaled_as_bytes(tmp_path: Path) -> None:
    old = write_samples(tmp_path / "samples", of="uint8")
    result = swath.import_("gdl", old, out=tmp_path / "new")
    with rasterio.open(swath_scenes(result)[0].image) as source:
        assert set(source.dtypes) == {"uint8"}
    assert any("stored as uint16 are read as uint8" in r["note"] for r in result["report"] if r["key"] == "(samples)")


def test_a_folder_that_would_run_code(tmp_path: Path) -> None:
    old = write_samples(tmp_path / "samples", params="__import__('os').system('false')")
    with pytest.raises(DataError, match="it is not run"):
        swath.import_("gdl", old, out=tmp_path / "new")


def write_samples(folder: Path, params: str | None = None, of: str = "uint16") -> Path:
    """A folder as images_to_samples.py leaves it: 6, 2 and 2 samples of 32 pixels."""
    folder.mkdir()
    document = {"global": GLOBAL, "sample": {"prep_csv_file": "images.csv", "overlap": 0}, "training": {"ignore_index": 255}}
    header = {"driver": "GTiff", "dtype": of, "count": 3, "crs": UTM, "transform": tuple(corner(0))[:6]}
    seed = 0
    for split, count in (("trn", 6), ("val", 2), ("tst", 2)):
        with h5py.File(folder / f"{split}_samples.hdf5", "w") as f:
            labels = np.stack([truth(squares(seed + n))[:32, :32] for n in range(count)])
            images = np.stack([pixels(m, n).transpose(1, 2, 0) for n, m in enumerate(labels)])
            f["sat_img"] = images >> 8 if of == "uint8" else images
            f["map_img"] = labels.astype(np.int16)
            f["meta_idx"] = np.zeros((count, 1), np.int16)
            for name, texts in (("metadata", [repr(header)]), ("params", [params or repr(document)]),
                                ("sample_metadata", [repr({"sample_indices": (0, 32 * (seed + n))}) for n in range(count)])):  # fmt: skip
                f.create_dataset(name, data=np.array(texts, object)[:, None], dtype=h5py.string_dtype())
        seed += count
    return folder


