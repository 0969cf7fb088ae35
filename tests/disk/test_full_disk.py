"""A disk that is really full: nothing gets its name, the old file stays, and the error says so with exit code 5."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely

from swath.core.errors import ResourceError
from swath.disk.publish import publish, publish_bytes


def listing(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("free", [0, 1, 4096, 100_000, 499_999])
def test_a_disk_that_is_really_full_keeps_the_old_file(small_disk: Path, free: int) -> None:
    target = publish_bytes(small_disk / "a.bin", b"old")
    room = os.statvfs(small_disk)
    (small_disk / "ballast").write_bytes(b"\0" * max(0, room.f_bavail * room.f_frsize - free))
    with pytest.raises(ResourceError) as error:
        publish(target, lambda part: part.write_bytes(b"n" * 500_000))
    assert error.value.code == "disk-full"
    assert error.value.exit_code == 5
    assert "MB free" in error.value.message
    with pytest.raises(ResourceError, match="are free"):
        publish_bytes(target, b"n" * 500_000)
    assert target.read_bytes() == b"old"
    assert listing(small_disk) == ["a.bin", "ballast"]
    (small_disk / "ballast").unlink()
    assert publish_bytes(target, b"n" * 500_000).stat().st_size == 500_000


@pytest.mark.parametrize("free", [0, 4096, 60_000, 91_000])
@pytest.mark.parametrize("kind", ["tif", "gpkg"])
def test_gdal_on_a_full_disk_is_a_resource_error_and_nothing_gets_its_name(
    small_disk: Path, free: int, kind: str
) -> None:
    """GDAL tells a full disk without errno, and may lose an error of the last bytes: the verification finds it."""
    pixels = np.random.default_rng(0).integers(0, 255, (1, 300, 300), np.uint8)
    room = os.statvfs(small_disk)
    (small_disk / "ballast").write_bytes(b"\0" * (room.f_bavail * room.f_frsize - free))

    def write_raster(part: Path) -> None:
        with rasterio.open(part, "w", driver="GTiff", count=1, height=300, width=300, dtype="uint8") as sink:
            sink.write(pixels)

    def write_vector(part: Path) -> None:
        boxes = shapely.to_wkb(shapely.box(np.arange(3000), 0, np.arange(3000) + 1, 1))
        options = {"driver": "GPKG", "layer": "boxes", "geometry_type": "Polygon", "crs": "EPSG:32618"}
        pyogrio.raw.write(part, geometry=boxes, field_data=[], fields=[], **options)

    def verify(part: Path) -> None:
        if kind == "tif":
            with rasterio.open(part) as source:
                assert np.array_equal(source.read(), pixels)

    with pytest.raises(ResourceError, match="the disk is full") as error:
        publish(small_disk / f"map.{kind}", write_raster if kind == "tif" else write_vector, verify=verify)
    assert error.value.exit_code == 5
    assert listing(small_disk) == ["ballast"]
