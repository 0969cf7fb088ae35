"""Errors that a user can act on.

    SwathError          what happened, where, and what to do; carries its exit code
    ├── ConfigError     2  command line or config text
    ├── DataError       3  content of data or of a model
    ├── QualityError    4  a quality gate was not met
    └── ResourceError   5  disk, memory, lock

Catch `SwathError` around any verb. Anything else that leaves a verb is a bug in Swath (exit code 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SwathError(Exception):
    """A failure with a place and a remedy: `error: where: message; fix` on one line.

    `code` is a stable machine word (`file-missing`), `where` a file, config key, window or band, `fix` what to do.
    """

    exit_code = 1

    def __init__(self, code: str, where: object, message: str, fix: str = "") -> None:
        self.code = code
        self.where = str(where)
        self.message = message
        self.fix = fix
        super().__init__(self.line())

    def __reduce__(self) -> tuple[type[SwathError], tuple[str, ...]]:
        """The same error, where it comes from another process."""
        return type(self), (self.code, self.where, self.message, self.fix)

    def line(self) -> str:
        """The error as one line, without line breaks."""
        text = f"{self.where}: {self.message}" if self.where else self.message
        text = f"{text}; {self.fix}" if self.fix else text
        return " ".join(text.split())

    def as_dict(self) -> dict[str, str]:
        """The object printed under `error` with `--json`."""
        return {"code": self.code, "where": self.where, "message": self.message, "fix": self.fix}


class ConfigError(SwathError):
    """The command line or the text of a config is wrong."""

    exit_code = 2


class DataError(SwathError):
    """The content of a raster, vector, store or model is wrong or unusable."""

    exit_code = 3


class QualityError(SwathError):
    """A quality gate that the user set was not met."""

    exit_code = 4


class ResourceError(SwathError):
    """Disk, memory or a lock stands in the way."""

    exit_code = 5


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remedy that names the closest known word, or all of them: `did you mean 'epochs'?`."""
    choices = sorted(str(k) for k in known)
    close = get_close_matches(str(word), choices, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return "known: " + ", ".join(choices) if choices else ""
