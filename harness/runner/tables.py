"""A trial's files read back as columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

Columns = dict[str, NDArray[np.int64]]


def read_columns(path: Path, names: Sequence[str]) -> Columns:
    """The named int64 columns of a table file; all empty where no row was ever written."""
    if not path.exists():
        return {name: np.empty(0, np.int64) for name in names}
    table = pq.read_table(path, columns=list(names))
    return {name: table[name].to_numpy() for name in names}


def blocks(path: Path, names: Sequence[str]) -> Iterator[Columns]:
    """The same a row group at a time, so that memory does not grow with the table."""
    if not path.exists():
        return
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=list(names))
            yield {name: table[name].to_numpy() for name in names}


def rows_in(path: Path) -> int:
    """How many rows a table file has; 0 if none was ever written."""
    return int(pq.read_metadata(path).num_rows) if path.exists() else 0
