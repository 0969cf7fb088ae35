"""A name in a table, or `package.module:function`; anything else names the closest known."""

from __future__ import annotations

import math

import pytest

from swath.core.errors import ConfigError, DataError
from swath.core.registry import Blamed, lookup

TABLE = {"sine": math.sin, "cosine": math.cos}


def test_a_name_of_the_table_and_a_function_of_ones_own() -> None:
    assert lookup(TABLE, "sine", "wave") is math.sin
    assert lookup(TABLE, "math:tan", "wave") is math.tan


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sin", "unknown wave 'sin'; did you mean 'sine'?"),
        ("zigzag", "unknown wave 'zigzag'; known: cosine, sine"),
        ("math:tann", "cannot import this wave .*tann.*; write package.module:function"),
        ("no_such_package:f", "cannot import this wave .*no_such_package"),
        ("math:pi", "this wave is no function"),
    ],
)
def test_unknown_names_are_config_errors(name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        lookup(TABLE, name, "wave")
    assert error.value.code == "wave-unknown"
    assert error.value.exit_code == 2


@pytest.mark.parametrize("name", [":f", "math:", ":", ".math:tan", ""])
def test_half_a_name_is_a_config_error(name: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot import|unknown wave"):
        lookup(TABLE, name, "wave")


def test_blame_passes_what_is_not_the_function_s() -> None:
    for error in (ConfigError("a", "b", "c"), MemoryError(), KeyboardInterrupt(), SystemExit(143)):
        with pytest.raises(type(error)), Blamed("function", "here", "mend it"):
            raise error
    with pytest.raises(DataError, match=r"here: raised SystemExit: 3.*mend it"), Blamed("function", "here", "mend it"):
        raise SystemExit(3)
