"""Each finding on a raster is planted and found by its code; a clean raster has none; reads stay bounded."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from audited import codes, noise
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from swath.core.errors import DataError
from swath.disk.audits.audit import FINDINGS, from_error, merged, raster_findings, share, shown
from swath.disk.rasters.raster import raster_info
from swath.disk.sources.probe import Probe, probe
from swath.specs import BandsSpec

SOURCE = Path(__file__).parents[3] / "src" / "swath"
READERS = (
    "rasters/vrt_guard", "vectors/geoparquet", "rasters/raster", "vectors/vector", "rasters/crs", "scenes/labels",
    "scenes/raster_labels", "sources/cells", "scenes/manifest", "projects/project", "sources/probe", "rasters/tally",
    "scenes/inputs",
)  # fmt: skip
Make = Callable[..., Path]

def calls(name: str, position: int, files: list[Path]) -> set[str]:
    """The texts that calls `name(...)` in some files have as their argument at a position: codes."""
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    given = (n.args[position] for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func) == name)
    return {a.value for a in given if isinstance(a, ast.Constant)}


def test_every_code_is_in_the_table() -> None:
    audits = [*SOURCE.glob("disk/audits/*.py"), SOURCE / "steps" / "check.py"]
    emitted = calls("Finding", 1, audits) | calls("_of_classes", 0, audits)
    raised = calls("DataError", 0, [SOURCE / "disk" / f"{n}.py" for n in READERS])
    raised |= calls("refused", 0, [SOURCE / "disk" / "publish.py"]) & set(FINDINGS)  # others are of outputs
    assert len(emitted) > 50
    assert emitted | raised <= set(FINDINGS)
    assert set(FINDINGS) <= emitted | raised


def test_a_clean_raster_has_no_finding(make_raster: Make) -> None:
    assert raster_findings([probe(make_raster("a.tif", noise()))], BandsSpec(), 16) == []


def with_patch(value: float, rows: int = 20, dtype: str = "uint8", band: int | None = None) -> Any:
    bands = noise().astype(dtype)
    bands[slice(None) if band is None else band, :rows] = value
    return bands


def all_zero_corner() -> Any:
    bands = noise()
    bands[:, :20, :40] = 0
    return bands


def codes_band() -> Any:
    bands = noise()
    bands[1] = np.random.default_rng(1).choice([10, 20, 30, 80], bands[1].shape)
    return bands


def twin_bands() -> Any:
    bands = noise()
    bands[2] = bands[0]
    return bands


def some_white(rows: int = 20) -> Any:
    bands = noise()
    bands[:, 0, 0] = 255
    bands[0, 1:rows] = 255
    return bands


PLANTED = {
    "no-georeference": ("note", noise, {"crs": None}),
    "grid-rotated": ("note", noise, {"transform": Affine.translation(5e5, 4e6) @ Affine.rotation(30)}),
    "raster-small": ("warning", lambda: noise(side=12), {}),
    "nodata-collision": ("warning", some_white, {"nodata": 255}),
    "nodata-undeclared": ("warning", all_zero_corner, {}),
    "pixels-none": ("warning", lambda: np.zeros((3, 64, 64), "uint8"), {"nodata": 0}),
    "saturated": ("warning", lambda: with_patch(255, band=1), {}),
    "band-constant": ("warning", lambda: with_patch(7, rows=200, band=1), {}),
    "band-duplicate": ("warning", twin_bands, {}),
    "band-codes": ("warning", codes_band, {}),
    "dtype-range": ("note", lambda: noise().astype("uint16"), {}),
    "not-finite": ("warning", lambda: with_patch(np.nan, dtype="float32"), {}),
    "band-alpha": ("note", lambda: np.concatenate([noise(), np.full((1, 128, 128), 255, "uint8")]),
                   {"colorinterp": [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]}),
    "palette": ("warning", lambda: noise(1), {"colorinterp": [ColorInterp.palette]}),
}  # fmt: skip


@pytest.mark.parametrize("code", PLANTED)
def test_what_is_planted_is_found(code: str, make_raster: Make) -> None:
    level, array, options = PLANTED[code]
    found = [
        f for f in raster_findings([probe(make_raster("a.tif", array(), **options))], BandsSpec(), 16) if f.code == code
    ]
    assert [f.level for f in found] == [level]
    assert found[0].path.name == "a.tif"
    assert found[0].message


@pytest.mark.parametrize(
    ("value", "dtype"), [(-9999, "int16"), (-32768, "int16"), (-9999.0, "float32"), (60000, "uint16")]
)
def test_a_value_far_from_all_others_is_undeclared_nodata(value: float, dtype: str, make_raster: Make) -> None:
    plain, declared = (
        make_raster(n, with_patch(value, dtype=dtype, band=1), nodata=d) for n, d in (("a.tif", None), ("b.tif", value))
    )
    (found,) = (f for f in raster_findings([probe(plain)], BandsSpec()) if f.code == "nodata-undeclared")
    assert found.place == "band 2"
    assert f"{value:g}" in found.message
    assert "16 %" in found.message
    assert "nodata-undeclared" not in codes(raster_findings([probe(declared)], BandsSpec()))


def test_a_border_that_the_config_declares_is_none(make_raster: Make) -> None:
    path = make_raster("a.tif", all_zero_corner())
    assert "nodata-undeclared" in codes(raster_findings([probe(path)], BandsSpec()))
    assert codes(raster_findings([probe(path, nodata_value=0)], BandsSpec(nodata_value=0)), "warning") == set()


def test_the_collision_counts_pixels_and_names_the_rule(make_raster: Make) -> None:
    path = make_raster("a.tif", some_white(), nodata=255)
    some, every = 19 * 128 + 1, 1
    for rule, dropped in (("all", every), ("any", some), ("none", 0)):
        (found,) = (
            f for f in raster_findings([probe(path, rule=rule)], BandsSpec(nodata=rule)) if f.code == "nodata-collision"
        )
        assert f"{some:,} of 16,384 pixels have it in some band, {every:,} in all" in found.message
        assert f"by the rule '{rule}' {dropped:,} of them" in found.message


def test_a_nodata_tag_on_a_mask_or_inside_the_range_is_told(make_raster: Make) -> None:
    mask = np.zeros((64, 64), "uint8")
    mask[:8] = 1
    (found,) = (
        f for f in raster_findings([probe(make_raster("m.tif", mask, nodata=1))], BandsSpec()) if "collision" in f.code
    )
    assert "one of its few values (0, 1)" in found.message
    assert "512 of 4,096" in found.message
    (found,) = (
        f
        for f in raster_findings([probe(make_raster("g.tif", noise(1), nodata=100))], BandsSpec())
        if "collision" in f.code
    )
    assert "inside the range" in found.message


def test_a_nodata_value_beyond_the_type(make_raster: Make) -> None:
    path = make_raster("a.tif", noise(1))
    info = raster_info(path)
    seen = probe(path)
    beyond = Probe(**{**seen.__dict__, "info": info, "tags": (-9999.0,)})
    assert "nodata-beyond" in codes(raster_findings([beyond], BandsSpec()), "note")


def test_scaling_by_type_makes_the_narrow_range_a_warning(make_raster: Make) -> None:
    seen = [probe(make_raster("a.tif", noise().astype("uint16")))]
    assert "dtype-range" in codes(raster_findings(seen, BandsSpec(method="dtype")), "warning")


def test_quantised_amounts_are_no_codes(make_raster: Make) -> None:
    """A smooth temperature in steps of 7 has as few values as a class raster, but it changes by one step at a time."""
    rows, cols = np.mgrid[:200, :200]
    smooth = 2400 + 7 * ((rows + cols) // 25)
    assert "band-codes" not in codes(
        raster_findings([probe(make_raster("a.tif", smooth.astype("int16")))], BandsSpec())
    )
    shuffled = 2400 + 7 * np.random.default_rng(0).integers(0, 15, (200, 200))
    assert "band-codes" in codes(raster_findings([probe(make_raster("b.tif", shuffled.astype("int16")))], BandsSpec()))


def test_a_constant_band_in_few_of_many_scenes_is_no_finding(make_raster: Make) -> None:
    seen = [probe(make_raster(f"{n}.tif", with_patch(7, rows=200 if n == 0 else 0, band=1))) for n in range(5)]
    assert "band-constant" not in codes(raster_findings(seen, BandsSpec()))
    assert "band-constant" in codes(raster_findings(seen[:2], BandsSpec()))


def test_alike_findings_are_told_once_with_all_files(make_raster: Make) -> None:
    seen = [probe(make_raster(f"{n}.tif", noise(seed=n), crs=None)) for n in range(3)]
    (found,) = raster_findings(seen, BandsSpec())
    assert found.message.endswith("(and 2 more of 3 rasters)")
    assert [f.name for f in found.files] == ["0.tif", "1.tif", "2.tif"]
    assert found.as_dict().keys() == {"level", "code", "where", "message", "fix", "files"}
    assert found.as_dict()["where"] == str(seen[0].info.path)


def test_errors_stay_apart_and_keep_their_place() -> None:
    path = Path("/data/a.tif")
    error = DataError("raster-corrupt", f"{path} rows 0-8", "cannot be read", "replace it")
    found = merged([from_error(error, path), from_error(error, path)], 2)
    assert [f.as_dict()["where"] for f in found] == [f"{path} rows 0-8"] * 2


def test_shares_and_lists_as_text() -> None:
    assert [share(0.5), share(1, 3), share(0.0039), share(1, 0)] == ["50 %", "33 %", "0.39 %", "0 %"]
    assert shown([1, 2.5, "x"]) == "1, 2.5, x"
    assert shown(range(10), 2) == "0, 1 and 8 more"


def test_an_image_with_control_points_is_told_to_be_warped(make_raster: Make) -> None:
    path = make_raster("a.tif", noise(), crs=None, transform=None)
    with rasterio.open(path, "r+") as sink:
        corners = [GroundControlPoint(r, c, 583_000 + c, 4_507_000 - r) for r, c in ((0, 0), (0, 128), (128, 0), (128, 128))]
        sink.gcps = corners, CRS.from_epsg(32618)
    (found,) = raster_findings([probe(path)], BandsSpec(), 16)
    assert (found.level, found.code) == ("warning", "not-warped")
    assert "4 ground control points" in found.message
