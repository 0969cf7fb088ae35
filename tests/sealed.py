"""Stores whose card or index is changed and then sealed anew, for tests of what lies behind the checksums."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swath.disk.publish import file_sha256, publish_card


def reseal(store: Path, change: Callable[[dict[str, Any]], object] | None = None) -> None:
    """Writes the card of a store with the index's checksum of now, after `change` to it, and its seal."""
    card = json.loads((store / "card.json").read_text(encoding="utf-8"))
    del card["sha256"]
    card["files"]["index.npy"] = file_sha256(store / "index.npy")
    if change is not None:
        change(card)
    publish_card(store / "card.json", card)
