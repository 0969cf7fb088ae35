"""The whole plug-in system: a name in a table, or `package.module:function`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from swath.core.errors import ConfigError, DataError, SwathError, did_you_mean

FAULTS = (  # what a user's function raises; anything else is a bug, or a signal
    ArithmeticError, AssertionError, AttributeError, BufferError, LookupError, NameError, OSError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip


def lookup(table: Mapping[str, Callable[..., Any]], name: str, kind: str) -> Callable[..., Any]:
    """The function that `name` stands for: an entry of `table`, or a user's own `package.module:function`.

    Raises ConfigError with the closest known name where neither is found.
    """
    if name in table:
        return table[name]
    if ":" in name and not name.startswith((":", ".")):
        module, _, attribute = name.partition(":")
        try:
            found = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as e:
            raise ConfigError(
                f"{kind}-unknown",
                name,
                f"cannot import this {kind} ({e})",
                "write package.module:function and put the package on PYTHONPATH",
            ) from e
        if not callable(found):
            raise ConfigError(f"{kind}-unknown", name, f"this {kind} is no function")
        return found
    raise ConfigError(f"{kind}-unknown", name, f"unknown {kind} '{name}'", did_you_mean(name, table))


def called(kind: str, name: str, function: Callable[..., Any], *given: Any, **options: Any) -> Any:
    """What a user's function gives. Raises DataError (KIND-failed) with its own error where it fails."""
    try:
        return function(*given, **options)
    except SwathError:
        raise
    except FAULTS as e:
        text = str(e).partition("\n")[0]
        raise DataError(f"{kind}-failed", name, f"raised {type(e).__name__}: {text}", f"correct the {kind}, or its options") from e
