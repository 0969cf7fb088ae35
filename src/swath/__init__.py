"""Swath: from satellite or aerial rasters and polygons to a map you can trust.

The verbs of the command line are functions of the same name: `swath.train("roofs.yaml", "train.budget=10m")`; `import`
is `swath.import_`, since Python has that word.
Importing the package loads neither torch nor GDAL.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    **dict.fromkeys(
        (
            "check",
            "sample",
            "analyze",
            "train",
            "evaluate",
            "predict",
            "vectorize",
            "info",
            "run",
            "demo",
            "verify",
            "convert",
            "import_",
            "chip",
            "mosaic",
            "mask",
            "split",
            "points",
            "flatten",
            "summarize",
            "apply",
            "fetch",
            "schema",
        ),
        "swath.api",
    ),
    "Grid": "swath.core.grid",
    "Window": "swath.core.windows",
    "Tile": "swath.core.windows",
    "Bands": "swath.core.bands",
    "Legend": "swath.core.legend",
    "Confusion": "swath.core.metrics",
    "Scene": "swath.disk.scenes.manifest",
    "Bundle": "swath.disk.bundle",
    "open_dataset": "swath.nets.dataset",
    "SampleDataset": "swath.nets.dataset",
    "SwathError": "swath.core.errors",
    "ConfigError": "swath.core.errors",
    "DataError": "swath.core.errors",
    "QualityError": "swath.core.errors",
    "ResourceError": "swath.core.errors",
}
__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'swath' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
