"""Ways to spoil the tiny town or its model: each function changes one thing that a verb must then refuse."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from pyogrio.raw import write as write_vector
from tiny_town import UTM, corner, pixels, squares, truth, write_image, write_squares

from swath.cli import main

ON = ("runtime.device=cpu", "runtime.threads=1")


@dataclass
class Place:
    """A town of one's own beside a finished run, and what is called there."""

    config: Path
    run: Path

    @property
    def folder(self) -> Path:
        return self.config.parent


def missing_image(p: Place) -> None:
    (p.folder / "west.tif").unlink()


def missing_labels(p: Place) -> None:
    for name in ("north", "south", "west"):
        (p.folder / f"{name}.gpkg").unlink()


def labels_elsewhere(p: Place) -> None:
    for name in ("north", "south", "west"):
        (p.folder / f"{name}.gpkg").unlink()
        write_squares(p.folder / f"{name}.gpkg", squares(1), corner(77))


def labels_in_another_crs(p: Place) -> None:
    for number, name in enumerate(("north", "south", "west")):
        (p.folder / f"{name}.gpkg").unlink()
        write_squares(p.folder / f"{name}.gpkg", squares(number), corner(number), crs="EPSG:4326")


def labels_without_crs(p: Place) -> None:
    for number, name in enumerate(("north", "south", "west")):
        (p.folder / f"{name}.gpkg").unlink()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyogrio warns of what is wanted here
            write_squares(p.folder / f"{name}.gpkg", squares(number), corner(number), crs=None)


def unknown_class(p: Place) -> None:
    for number, name in enumerate(("north", "south", "west")):
        (p.folder / f"{name}.gpkg").unlink()
        found = squares(number)
        write_squares(p.folder / f"{name}.gpkg", found, corner(number), values=[1] * (len(found) - 1) + [9])


def corrupt_images(p: Place) -> None:
    for number, name in enumerate(("north", "south", "west")):
        path = p.folder / f"{name}.tif"
        tiles = {"compress": "deflate", "tiled": True, "blockxsize": 32, "blockysize": 32}
        write_image(path, pixels(truth(squares(number)), number), corner(number), **tiles)
        path.write_bytes(path.read_bytes()[:20_000])


def images_of_nothing(p: Place) -> None:
    for name in ("north", "south", "west"):
        (p.folder / f"{name}.tif").write_bytes(b"")


def empty_vectors(p: Place) -> None:
    for name in ("north", "south", "west"):
        path = p.folder / f"{name}.gpkg"
        path.unlink()
        write_vector(
            path, geometry=shapely.to_wkb(np.array([], object)), fields=["class"], field_data=[np.array([], np.int64)],
            crs=UTM, geometry_type="Polygon", driver="GPKG", layer="roofs",
        )  # fmt: skip


def vectors_of_nothing(p: Place) -> None:
    for name in ("north", "south", "west"):
        (p.folder / f"{name}.gpkg").write_bytes(b"")


def unknown_field(p: Place) -> None:
    p.config.write_text(p.config.read_text().replace("field: class", "field: clas"))


def unknown_key(p: Place) -> None:
    p.config.write_text(p.config.read_text().replace("tile: 32", "tyle: 32"))


def broken_yaml(p: Place) -> None:
    p.config.write_text(p.config.read_text().replace("sample: {", "sample: {{"))


def no_config(p: Place) -> None:
    p.config.unlink()


def unknown_model(p: Place) -> None:
    p.config.write_text(p.config.read_text().replace("model: {", "model: {name: unett, "))


def unknown_split(p: Place) -> None:
    (p.folder / "scenes.csv").write_text("image,labels,split\nnorth.tif,north.gpkg,trian\n")


def no_manifest(p: Place) -> None:
    (p.folder / "scenes.csv").unlink()


def empty_manifest(p: Place) -> None:
    (p.folder / "scenes.csv").write_text("image,labels,split\n")


def weights_cut(p: Place) -> None:
    file = next((p.run / "best").glob("weights-*"))
    file.write_bytes(file.read_bytes()[:-1])


def card_cut(p: Place) -> None:
    card = p.run / "best" / "card.json"
    card.write_text(card.read_text()[:-20])


def no_bundle(p: Place) -> None:
    shutil.rmtree(p.run)


def out_is_a_file(p: Place) -> None:
    (p.folder / "out").write_text("mine")


def fewer_bands(p: Place) -> None:
    write_image(p.folder / "west.tif", pixels(truth(squares(2)), 2)[:2], corner(2))


def store_stale(p: Place) -> None:
    assert main(["sample", str(p.config), "-q"]) == 0
    p.config.write_text(p.config.read_text().replace("tile: 32", "tile: 48"))


def store_flipped(p: Place) -> None:
    assert main(["sample", str(p.config), "-q"]) == 0
    with (p.folder / "runs" / "roofs" / "samples.store" / "records.bin").open("r+b") as f:
        f.write(b"\xff\xff\xff\xff")


def map_made_otherwise(p: Place) -> None:
    words = ["predict", p.run, p.folder / "west.tif", "--out", p.folder / "out", "predict.tile=64", "-q", *ON]
    assert main([str(w) for w in words]) == 0


def plain_map(p: Place) -> None:
    write_image(p.folder / "map.tif", truth(squares(2))[None], None)


def float_map(p: Place) -> None:
    write_image(p.folder / "map.tif", truth(squares(2))[None].astype(np.float32), corner(2))


def cut_map(p: Place) -> None:
    path = write_image(p.folder / "map.tif", np.tile(truth(squares(2)), (4, 4))[None], corner(2), compress="deflate")
    path.write_bytes(path.read_bytes()[:1200])


def vectors_there(p: Place) -> None:
    write_image(p.folder / "map.tif", truth(squares(2))[None], corner(2))
    (p.folder / "map.gpkg").write_bytes(b"mine")


def nothing(p: Place) -> None:
    """The command line itself is wrong."""
