"""Where the files lie that old configs name: relative to a working directory nobody wrote down, with either slash."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from swath.importers.report import Draft

_ABOVE = 3  # the folder of the source and two above it may have been the working directory


def located(text: object, draft: Draft, near: Path | None = None) -> Path | None:
    """The file or folder that a text names, or None.

    It is looked for in `draft.root`; without one beside `near` and the source, in the folders above, then in the
    working directory. A Windows path is tried with its backslashes as slashes.
    """
    if not str(text).strip():
        return None
    for name in (str(text).strip(), PureWindowsPath(str(text).strip()).as_posix()):
        for base in _bases(draft, near):
            if (base / name).exists():
                return base / name
    return None


def expected(text: object, draft: Draft, near: Path | None = None) -> Path:
    """The file that a text names, or where it should be; then it is among the draft's missing files."""
    found = located(text, draft, near)
    if found is None:
        found = _bases(draft, near)[0] / PureWindowsPath(str(text).strip()).as_posix()
        if str(found) not in draft.missing:
            draft.missing.append(str(found))
    return found


def _bases(draft: Draft, near: Path | None) -> list[Path]:
    if draft.root is not None:
        return [draft.root]
    folders = [(near or draft.source).absolute(), draft.source.absolute()]
    return list(dict.fromkeys([*(p for f in folders for p in list(f.parents)[:_ABOVE]), Path.cwd()]))
