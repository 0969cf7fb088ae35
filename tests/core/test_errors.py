"""Errors are one line with a place and a remedy, and carry the exit code of their kind."""

from __future__ import annotations

import pytest
from elsewhere import passed_on

from swath.core.errors import ConfigError, DataError, QualityError, ResourceError, SwathError, did_you_mean


@pytest.mark.parametrize(
    ("kind", "code"), [(SwathError, 1), (ConfigError, 2), (DataError, 3), (QualityError, 4), (ResourceError, 5)]
)
def test_every_kind_has_its_exit_code(kind: type[SwathError], code: int) -> None:
    assert kind("word", "here", "what").exit_code == code
    assert issubclass(kind, SwathError)


def test_an_error_is_one_line_with_place_and_remedy() -> None:
    error = DataError("file-missing", "a b.tif", "no such\n  file", "check\tthe path")
    assert str(error) == error.line() == "a b.tif: no such file; check the path"
    assert error.as_dict() == {
        "code": "file-missing", "where": "a b.tif", "message": "no such\n  file", "fix": "check\tthe path",
    }  # fmt: skip
    assert str(DataError("x", "", "no place, no remedy")) == "no place, no remedy"


def test_the_closest_word_is_offered_or_all_of_them() -> None:
    assert did_you_mean("epoch", ["epochs", "steps"]) == "did you mean 'epochs'?"
    assert did_you_mean("zzz", ["b", "a"]) == "known: a, b"
    assert did_you_mean("zzz", []) == ""
    assert did_you_mean(3, {1: "x", 2: "y"}) == "known: 1, 2"  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [ConfigError, DataError, QualityError, ResourceError])
def test_an_error_of_another_process_is_the_same(kind: type[SwathError]) -> None:
    error = kind("some-code", "a.tif", "is broken", "replace it")
    copy = passed_on(error)
    assert type(copy) is kind
    assert (copy.as_dict(), copy.line(), str(copy)) == (error.as_dict(), error.line(), str(error))
