"""The whole plug-in system: a name in a table, or `package.module:function`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

from swath.core.errors import ConfigError, DataError, SwathError, did_you_mean


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
    with Blamed(kind, name, f"correct the {kind}, or its options"):
        return function(*given, **options)


class Blamed:
    """`with Blamed(kind, where, fix):` around a user's function: what it raises becomes a DataError (KIND-failed).

    Users raise exceptions of their own classes, which no list can name; our own errors, a lack of memory and signals pass.
    """

    def __init__(self, kind: str, where: object, fix: str) -> None:
        self.kind, self.where, self.fix = kind, where, fix

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal = isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > 128
        if not isinstance(error, Exception | SystemExit) or isinstance(error, SwathError | MemoryError) or signal:
            return
        text = " ".join(str(error).split())[:300]
        own = trace.tb_next if trace is not None else None  # the frame of the function itself
        line = f" ({Path(own.tb_frame.f_code.co_filename).name}, line {own.tb_lineno})" if own is not None else ""
        raise DataError(f"{self.kind}-failed", self.where, f"raised {type(error).__name__}: {text}{line}", self.fix) from error
