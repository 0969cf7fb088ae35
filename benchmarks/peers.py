"""Where the peers of the benchmarks are installed: a virtual environment of their own (`make bench-peers`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PYTHON = Path(os.environ.get("SWATH_PEERS", Path(__file__).parents[1] / ".venv-peers")) / "bin" / "python"


def torchgeo(verb: str, image: Path, labels: Path, count: int) -> float | None:
    """Samples per second of torchgeo, or None, said on standard error, where it is not installed."""
    if not PYTHON.exists():
        print(f"torchgeo is skipped: no {PYTHON} (make bench-peers)", file=sys.stderr)
        return None
    words = [str(PYTHON), str(Path(__file__).with_name("peer_torchgeo.py")), verb, str(image), str(labels), str(count)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"torchgeo is skipped: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return float(json.loads(done.stdout.splitlines()[-1])["samples_per_second"])
