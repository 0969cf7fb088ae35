"""What the verbs of the command line are made of."""

from __future__ import annotations

import argparse
import keyword
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Args = argparse.Namespace


@dataclass(frozen=True)
class Verb:
    """One verb: what it results in, an example, its arguments, the call, and the human form of its result.

    `settings`: it takes settings of the config.
    """

    result: str
    example: str
    arguments: Callable[[argparse.ArgumentParser], None]
    call: Callable[[Args, list[str]], dict[str, Any]]
    show: Callable[[dict[str, Any]], str]
    settings: bool = True


def overwrite_argument(p: argparse.ArgumentParser) -> None:
    """The option `--overwrite`."""
    p.add_argument("--overwrite", action="store_true", help="replace what is there")


def python_name(verb: str) -> str:
    """The name of a verb's function: `import_` where the word is Python's own."""
    return f"{verb}_" if keyword.iskeyword(verb) else verb


def call(name: str) -> Any:
    """The function behind a verb, loaded when it is needed."""
    from swath import api

    return getattr(api, python_name(name))
