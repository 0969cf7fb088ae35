"""Where the real data lie: `SWATH_TEST_DATA`, else `../shared/data` beside the project, wherever a test then works."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("SWATH_TEST_DATA") or ROOT.parent / "shared" / "data").absolute()
ODD = DATA / "odd"
