"""Class ids are kept whatever they are, label values find their class or are named in the error."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.core.errors import ConfigError, DataError
from swath.core.legend import ClassEntry, Legend, palette, parse_colour, unknown_values


def legend(ids: list[int], **options: object) -> Legend:
    return Legend(tuple(ClassEntry(i, f"class {i}", "#123456") for i in ids), **options)  # type: ignore[arg-type]


def with_sources(sources: dict[int, tuple[int | str, ...]], **options: object) -> Legend:
    entries = tuple(ClassEntry(i, f"class {i}", "#123456", s) for i, s in sources.items())
    return Legend(entries, **options)  # type: ignore[arg-type]


small = st.lists(st.integers(0, 255), min_size=2, max_size=256, unique=True)
large = st.lists(st.integers(0, 65534), min_size=2, max_size=300, unique=True)


@given(small | large)
def test_ids_come_back_and_nodata_is_never_a_class(ids: list[int]) -> None:
    table = legend(ids)
    indices = np.arange(len(ids), dtype=table.index_dtype)
    assert table.to_ids(indices).tolist() == ids
    assert table.to_ids(indices).dtype == table.map_dtype
    assert table.nodata not in ids
    assert table.nodata <= np.iinfo(table.map_dtype).max
    assert table.ignore >= len(ids)
    assert table.ignore <= np.iinfo(table.index_dtype).max
    assert table.to_ids(np.array([table.ignore], table.index_dtype)).tolist() == [table.nodata]
    assert table.ids == tuple(ids)


@given(small | large, st.integers(0, 99))
def test_from_values_is_the_inverse_of_to_ids(ids: list[int], seed: int) -> None:
    table = legend(ids)
    indices = np.random.default_rng(seed).integers(0, len(ids), (5, 7)).astype(table.index_dtype)
    for dtype in (table.map_dtype, np.int32, np.float64):
        found = table.from_values(table.to_ids(indices).astype(dtype))
        assert np.array_equal(found, indices)
        assert found.dtype == table.index_dtype


def test_maps_are_bytes_where_ids_and_nodata_fit() -> None:
    assert (legend([0, 1]).nodata, legend([0, 1]).map_dtype) == (255, np.uint8)
    assert (legend([0, 255]).nodata, legend([0, 255]).map_dtype) == (254, np.uint8)
    assert (legend([0, 256]).nodata, legend([0, 256]).map_dtype) == (65535, np.uint16)
    every_byte = legend(list(range(256)))
    assert (every_byte.nodata, every_byte.map_dtype, every_byte.ignore) == (65535, np.uint16, 65535)


@pytest.mark.parametrize(("count", "ignore"), [(2, 255), (254, 255), (255, 65535), (300, 65535), (1000, 65535)])
def test_many_classes_get_wider_indices(count: int, ignore: int) -> None:
    table = legend(list(range(count)))
    assert table.ignore == ignore
    indices = np.array([[0, count - 1, ignore]], table.index_dtype)
    assert table.to_ids(indices).tolist() == [[0, count - 1, table.nodata]]
    assert table.from_values(np.array([count - 1])).tolist() == [count - 1]


def test_trap_7_exchanging_two_ids_keeps_both() -> None:
    """TRAP-7: a table applied in place turns both values into 2."""
    swapped = with_sources({0: (0,), 1: (2,), 2: (1,)})
    assert swapped.from_values(np.array([[0, 1, 2, 1]])).tolist() == [[0, 2, 1, 2]]
    assert swapped.to_ids(swapped.from_values(np.array([1, 2]))).tolist() == [2, 1]


@given(st.permutations(list(range(8))), st.integers(0, 99))
def test_any_permutation_of_values_is_undone_by_its_inverse(order: list[int], seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 8, (6, 6))
    there = with_sources({i: (order[i],) for i in range(8)})
    back = with_sources({order[i]: (i,) for i in range(8)})
    moved = there.to_ids(there.from_values(values))
    assert np.array_equal(back.to_ids(back.from_values(moved)), values)


def test_classes_match_by_id_and_name_without_a_source_and_by_the_source_only_with_one() -> None:
    table = Legend((ClassEntry(0, "background", "#000000"), ClassEntry(7, "forest", "#00ff00", ("woods", "12"))))
    assert [table.match(v) for v in (0, 0.0, "0", "background", " background ")] == [0] * 5
    assert [table.match(v) for v in ("woods", 12, "12", 12.0)] == [1] * 4
    assert [table.match(v) for v in (7, "7", "forest", "Woods", 0.5, "")] == [None] * 6


@pytest.mark.parametrize("text", ["--3", "²", "-", "3-", "1e3", "٣ m", "nan"])
def test_odd_texts_are_unknown_values_not_failures(text: str) -> None:
    assert legend([0, 1]).match(text) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 0.5])
def test_odd_numbers_are_unknown_values_not_failures(value: float) -> None:
    assert legend([0, 1]).match(value) is None


def test_text_sources_of_a_text_field() -> None:
    table = with_sources({0: ("other",), 1: ("forest", "woods"), 2: ("lake",)}, ignored=("cloud",))
    values = np.array(["woods", "lake", "cloud", "forest", "other"], object)
    assert [table.match(v) for v in values] == [1, 2, table.ignore, 1, 0]
    assert table.from_values(values.astype(str)).tolist() == [1, 2, 255, 1, 0]


@pytest.mark.parametrize(
    ("rule", "hits"),
    [(">127", [128, 255]), (">=127", [127, 128, 255]), ("<127", [0, 126]), ("<= 126.5", [0, 126]), (">-1", None)],
)
def test_grey_thresholds(rule: str, hits: list[int] | None) -> None:
    values = np.array([0, 126, 127, 128, 255])
    table = with_sources({0: ("none",), 1: (rule,)})
    assert table.thresholds
    expected = [1 if hits is None or v in hits else 0 for v in values]
    assert table.from_values(values).tolist() == expected


def test_values_beside_the_thresholds_are_the_fill() -> None:
    assert with_sources({1: (">200",), 2: ("<50",)}).from_values(np.array([10, 100, 250])).tolist() == [1, 255, 0]
    roads = with_sources({0: (), 1: (">127",)}, unlabelled="ignore")
    assert roads.from_values(np.array([0, 100, 200])).tolist() == [0, 255, 1]


def test_colours_of_masks() -> None:
    table = with_sources({0: ("#000",), 1: ("#00ff00", "#0F0000")})
    assert table.colours == {(0, 0, 0): 0, (0, 255, 0): 1, (15, 0, 0): 1}
    assert legend([0, 1]).colours == {}
    assert not table.thresholds


def test_ignored_values_never_count() -> None:
    table = legend([0, 1], ignored=(9, "cloud"))
    assert table.from_values(np.array([[0, 1, 9]])).tolist() == [[0, 1, 255]]
    assert [table.match(v) for v in (9, "9", 9.0, "cloud")] == [255] * 4


def test_gdl_093_ignoring_value_0_keeps_the_ids() -> None:
    """GDL-093: an ignored 0 must not shift the other ids."""
    table = legend([1, 2, 3], unlabelled="ignore", ignored=(0,))
    indices = table.from_values(np.array([0, 1, 2, 3]))
    assert table.to_ids(indices).tolist() == [255, 1, 2, 3]
    assert table.fill == 255
    with_background = legend([0, 1, 2], ignored=(0,))
    assert with_background.to_ids(with_background.from_values(np.array([0, 1, 2]))).tolist() == [255, 1, 2]


def test_pixels_without_a_label_are_background_or_ignored() -> None:
    assert legend([3, 0]).fill == legend([3, 0]).background == 1
    assert legend([3, 0], unlabelled="ignore").fill == 255
    assert legend([3, 4]).fill == 255
    assert legend([3, 4]).background is None


def test_unknown_values_are_named() -> None:
    with pytest.raises(DataError) as error:
        legend([0, 1]).from_values(np.array([[0, 7, 1, 12]]), "labels.tif")
    assert error.value.code == "class-unknown"
    assert error.value.where == "labels.tif"
    assert error.value.message == "label values without a class: 12, 7"
    assert "classes are 0 class 0, 1 class 1" in error.value.fix


def test_a_long_list_of_unknown_values_is_cut() -> None:
    message = unknown_values(range(100, 120), "x", legend([0, 1])).message
    assert message.endswith("100, 101, 102, 103, 104, 105, 106, 107 and 12 more")


@pytest.mark.parametrize(
    ("entries", "code", "told"),
    [
        ([(0, "a", ()), (0, "b", ())], "classes-twice", "the same id stands twice: 0"),
        ([(0, "a", ()), (1, "a", ())], "classes-twice", "the same name stands twice: a"),
        ([(0, "a", (5,)), (1, "b", (5,))], "classes-twice", "the same source value stands twice: 5"),
        ([(0, "a", ())], "classes-few", "fewer than two classes"),
        ([(0, "a", ()), (65535, "b", ())], "class-id", "outside 0..65534"),
        ([(0, "a", ()), (-1, "b", ())], "class-id", "outside 0..65534"),
    ],
)
def test_impossible_tables_are_refused(entries: list[tuple[int, str, tuple[int, ...]]], code: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        Legend(tuple(ClassEntry(i, name, "#000000", source) for i, name, source in entries))
    assert error.value.code == code
    assert told in error.value.message
    assert error.value.fix


def test_an_unknown_class_name_gets_the_closest() -> None:
    table = Legend((ClassEntry(0, "background", "#000"), ClassEntry(1, "roof", "#fff")))
    assert table.index("roof") == 1
    with pytest.raises(ConfigError, match="did you mean 'roof'"):
        table.index("rof")


def test_twelve_colours_are_distinct_and_stable() -> None:
    colours = palette(12)
    distances = [np.abs(np.subtract(parse_colour(a), parse_colour(b))).max() for a, b in combinations(colours, 2)]
    assert min(distances) >= 40
    assert palette(12) == colours
    assert palette(3) == colours[:3] == ["#df7c20", "#30169c", "#71e963"]
    assert len(set(palette(200))) == 200


@pytest.mark.parametrize(
    ("text", "rgb"), [("#efcd08", (239, 205, 8)), ("#0f8", (0, 255, 136)), ("#FFFFFF", (255,) * 3)]
)
def test_colours_are_read(text: str, rgb: tuple[int, int, int]) -> None:
    assert parse_colour(text) == rgb
    assert ClassEntry(1, "x", text).rgb == rgb


@pytest.mark.parametrize("text", ["red", "#12", "#12345", "123456", "#gggggg", "#1234567", ""])
def test_texts_that_are_no_colour_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no colour; write #rrggbb"):
        parse_colour(text)


def test_a_legend_survives_json() -> None:
    table = with_sources({0: (), 5: ("woods", 3)}, unlabelled="ignore", ignored=(255, "cloud"), field="kind")
    assert Legend.from_dict(json.loads(json.dumps(table.as_dict()))) == table
