"""A trial's files read back as columns."""

from __future__ import annotations

from collections.abc import Sequence
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
