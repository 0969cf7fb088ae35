"""Tables that grow chunk by chunk: CSV always, Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.core.errors import ConfigError, DataError
from swath.disk.publish import publish

Columns = dict[str, NDArray[Any]]  # equally long; NaN is an empty cell
SUFFIXES = (".csv", ".parquet")


def require_format(path: Path) -> None:
    """Nothing, or a ConfigError where the suffix is no table's, or what writes it is not installed."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError("out-suffix", path, "a table is CSV or Parquet", "name it with .csv or .parquet")
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise ConfigError("extra-missing", path, "Parquet is written by pyarrow, which is not installed",
                          "pip install pyarrow, or name the output with .csv")  # fmt: skip


def publish_rows(path: Path, chunks: Callable[[], Iterable[Columns]]) -> int:
    """The number of rows of the published table; all chunks have the same columns. Raises DataError without a chunk."""
    written: list[int] = []
    write = _write_csv if path.suffix.lower() == ".csv" else _write_parquet
    count = _count_csv if path.suffix.lower() == ".csv" else _count_parquet

    def verify(part: Path) -> None:
        if count(part) != written[-1]:
            raise DataError("write-unverified", path, "the rows read back are not those written", "check the disk")

    publish(path, lambda part: written.append(write(part, chunks())), verify=verify)
    return written[-1]


def _write_csv(part: Path, chunks: Iterable[Columns]) -> int:
    rows = 0
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for number, columns in enumerate(chunks):
            if number == 0:
                writer.writerow(columns)
            cells = [_cells(values) for values in columns.values()]
            writer.writerows(zip(*cells, strict=True))
            rows += len(cells[0])
    return rows


def _cells(values: NDArray[Any]) -> list[Any]:
    """Values as text that reads back to the same bits; float32 in its own shortest form."""
    if values.dtype.kind != "f":
        return values.tolist()
    cells = values.astype(str).tolist() if values.dtype.itemsize < 8 else values.tolist()
    if np.isfinite(values).all():
        return cells
    return [c if ok else "" for c, ok in zip(cells, np.isfinite(values).tolist(), strict=True)]


def _count_csv(part: Path) -> int:
    with part.open("rb") as file:
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    return max(0, lines - 1)


def _write_parquet(part: Path, chunks: Iterable[Columns]) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    rows, writer = 0, None
    try:
        for columns in chunks:
            table = pa.table({k: _parquet_column(pa, v) for k, v in columns.items()})
            writer = writer or parquet.ParquetWriter(part, table.schema)
            writer.write_table(table)
            rows += table.num_rows
    finally:
        if writer is not None:
            writer.close()
    return rows


def _parquet_column(pa: Any, values: NDArray[Any]) -> Any:
    """The values as Arrow; objects are numbers that may be missing, whatever the first chunk holds."""
    if values.dtype.kind == "O":
        return pa.array(values.tolist(), pa.float64())
    return pa.array(values.tolist() if values.dtype.kind == "U" else values, from_pandas=values.dtype.kind == "f")


def _count_parquet(part: Path) -> int:
    from pyarrow import parquet

    return int(parquet.read_metadata(part).num_rows)
