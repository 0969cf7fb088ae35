"""The mapping report: what every key of an old system became, and the config that is drafted on the way.

A system is a table: old key -> `Rule`. `fill` walks a document's keys, lets the rule of each write into the `Draft`, and
gives exactly one `Row` per key; a key without a rule is reported as unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swath.core.errors import ConfigError, did_you_mean

BLANK = "left blank: Swath's default"


@dataclass(frozen=True)
class Row:
    """One old key: its value, the key of Swath that holds it now (None: none does), and why."""

    key: str
    value: Any
    became: str | None
    note: str

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON values."""
        return {"key": self.key, "value": self.value, "became": self.became, "note": self.note}


@dataclass
class Draft:
    """A config under way: `old` holds the flat keys of the document, `config` the sections of Swath's.

    `scenes` are rows of the manifest with absolute paths; `missing` the files that were named and are not there;
    `commands` what to run now instead of the old commands.
    """

    source: Path
    root: Path | None = None
    old: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    scenes: list[dict[str, Any]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    _became: list[str] = field(default_factory=list)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of another old key; the default where it is absent, blank or known to a running script only."""
        value = self.old.get(key)
        return default if value is None or isinstance(value, Computed) else value

    def count(self, key: str, least: int) -> int | None:
        """The whole number of an old key that decides a table's size. Raises ConfigError outside `least` to 1000."""
        value = self.get(key)
        if value is None:
            return None
        try:
            found = whole(value)
        except ValueError as e:
            raise ConfigError("import-value", self.source, f"{key}: {e}", "correct it in that file") from e
        if not least <= found <= 1000:
            message = f"{key}: {found} is out of range"
            raise ConfigError("import-value", self.source, message, f"write {least} to 1000")
        return found

    def set(self, key: str, value: Any) -> None:
        """Sets `section.key` of the config and remembers it for the report."""
        at = self.config
        *sections, last = key.split(".")
        for section in sections:
            at = at.setdefault(section, {})
        at[last] = value
        self.tell(key)

    def tell(self, became: str) -> None:
        """Remembers what the key at hand became, where that is no key of the config: a command, or several rows."""
        if became not in self._became:
            self._became.append(became)

    def add(self, key: str, value: Any, note: str) -> None:
        """Adds the row of a key that no rule decides; it became what was set since the last row."""
        self.rows.append(Row(key, value, ", ".join(self._became) or None, note))
        self._became = []

    def imply(self, key: str, value: Any, note: str) -> None:
        """Sets what the old system always did without a key for it, unless a key did."""
        section, _, last = key.partition(".")
        if not last or last not in self.config.get(section, {}):
            self.set(key, value)
            self.add(f"(always) {key}", value, note)

    @property
    def classes(self) -> dict[Any, Any]:
        """The class table under way: id -> name, color, source; beside the ids the section's own keys."""
        return self.config.setdefault("classes", {})


Take = Callable[[Any, Draft], str | None]


@dataclass(frozen=True)
class Rule:
    """What becomes of an old key: for the pages of the docs, and `take`, which writes a value into the draft.

    A text that `take` returns stands in the report instead of `note`. Without `take` the key has no counterpart.
    """

    became: str | None
    note: str
    take: Take | None = None


Table = Mapping[str, Rule]


class Computed(str):
    """The text of a value that only a running script would know."""


def kept(key: str, read: Callable[[Any], Any], note: str) -> Rule:
    """The rule of a key whose value, read by `read`, goes to `key`."""

    def take(value: Any, draft: Draft) -> None:
        draft.set(key, read(value))

    return Rule(key, note, take)


def dropped(note: str) -> Rule:
    """The rule of a key without counterpart, with the reason."""
    return Rule(None, note)


def command(option: str, note: str) -> Rule:
    """The rule of a setting that is a command, or an option of one."""
    return Rule(option, note, lambda value, draft: draft.tell(option))


def fill(draft: Draft, table: Table, where: Callable[[str], str], plain: Callable[[str], str] = str) -> None:
    """Adds one row for every key in `draft.old`; `plain` gives the key under which the table has it.

    Raises ConfigError where a value is not what its key needs.
    """
    for key, value in draft.old.items():
        rule = table.get(plain(key))
        if rule is None:
            section = value is None and any(k.startswith(f"{key}.") for k in table)
            close = did_you_mean(key, table)
            hint = f"; {close}" if close.startswith("did you mean") else ""
            draft.add(key, value, BLANK if section else f"unknown: no key of this system{hint}")
        elif isinstance(value, Computed):
            draft.add(key, str(value), f"computed when the script runs: set it by hand ({rule.note})")
        elif value is None:
            draft.add(key, value, BLANK if rule.take else rule.note)
        else:
            try:
                told = rule.take(value, draft) if rule.take else None
            except (ValueError, TypeError, OverflowError) as e:
                raise ConfigError("import-value", where(key), f"{key}: {e}", "correct it in that file") from e
            draft.add(key, value, told or rule.note)


def leaves(document: Mapping[Any, Any], table: Table, above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of a nested document; what the table names is taken whole."""
    for name, value in document.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping) and value and key not in table:
            yield from leaves(value, table, f"{key}.")
        else:
            yield key, value


def whole(value: Any) -> int:
    """The whole number. Raises ValueError."""
    found = number(value)
    if not found.is_integer() or abs(found) > 1e9:
        raise ValueError(f"{value!r} is no whole number" + (", or too large" if found.is_integer() else ""))
    return int(found)


def few(value: Any, most: int = 1000) -> int:
    """The whole number from 1 to `most`: of bands, of classes. Raises ValueError."""
    found = whole(value)
    if not 1 <= found <= most:
        raise ValueError(f"{found} is out of range: write 1 to {most}")
    return found


def number(value: Any) -> float:
    """The finite number, also from text. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is no number")
    try:
        found = float(value)
    except ValueError:
        raise ValueError(f"{value!r} is no number") from None
    if not math.isfinite(found):
        raise ValueError(f"{value!r} is no finite number")
    return found


def share(value: Any) -> float:
    """The fraction of a percentage. Raises ValueError outside 0 to 100."""
    found = number(value)
    if not 0 <= found <= 100:
        raise ValueError(f"{value!r} is no percentage")
    return round(found / 100, 6)


def flag(value: Any) -> bool:
    """True or False of a boolean, 0 or 1, or their words. Raises ValueError."""
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False,
             "none": False}  # fmt: skip
    found = words.get(str(value).strip().lower())
    if found is None:
        raise ValueError(f"{value!r} is neither true nor false")
    return found


def several(value: Any, length: int | None = None) -> list[Any]:
    """The list, a single value as a list of one. Raises ValueError for another length, or none at all."""
    found = list(value) if isinstance(value, list | tuple) else [value]
    if not found:
        raise ValueError("the list is empty")
    if length is not None and len(found) != length:
        raise ValueError(f"{value!r} is no list of {length}")
    return found


def reading(old: Any, text: str, source: str, chosen: str) -> str:
    """The note of a key whose documentation and program disagreed: both readings, and the one taken."""
    return f"{old!r}: the text says {text}; the source {source}; taken: {chosen}"


def markdown(table: Table) -> str:
    """The table of a system's keys for its page in the docs."""
    rows = [f"| `{key}` | {f'`{r.became}`' if r.became else '-'} | {r.note} |" for key, r in table.items()]
    return "\n".join(["| old key | Swath | note |", "|---|---|---|", *rows])
