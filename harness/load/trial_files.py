"""The files of a trial: where its rows go, of one process or of several, and reading them back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from harness.load.column_buffer import SAMPLE_COLUMNS, Sink
from harness.load.recording_store import APPEND_COLUMNS, READ_COLUMNS
from harness.load.subscribers import DELIVERY_COLUMNS
from harness.results import TableWriter, concatenate


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where the rows of a trial go; `None` discards them."""

    samples: Sink | None
    appends: Sink | None
    deliveries: Sink | None
    reads: Sink | None = None


class _WhereNeeded:
    """A table of what clients' reads showed: no file where no workload tells it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: TableWriter | None = None

    def write(self, block: NDArray[np.int64]) -> None:
        if self._writer is None:
            self._writer = TableWriter(self._path, READ_COLUMNS)
        self._writer.write(block)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


@dataclass(frozen=True, slots=True)
class TrialFiles:
    """The tables of a trial."""

    samples: Path
    appends: Path
    deliveries: Path
    reads: Path | None = None
    """What workloads tell of their reads; `None` forgets it."""

    def sinks(self, *, deliveries: bool) -> Sinks:
        """Writers of these files; `deliveries` where there are subscribers."""
        return Sinks(
            TableWriter(self.samples, SAMPLE_COLUMNS),
            TableWriter(self.appends, APPEND_COLUMNS),
            TableWriter(self.deliveries, DELIVERY_COLUMNS) if deliveries else None,
            _WhereNeeded(self.reads) if self.reads else None,
        )

    def part(self, number: int) -> TrialFiles:
        """The files of one worker process of several."""
        return TrialFiles(*(path.with_suffix(f".{number}.parquet") for path in self._paths))

    def join(self, parts: Sequence[TrialFiles]) -> None:
        """Put the processes' files one after the other, and remove them. Raises `LabError`."""
        for path, *pieces in zip(self._paths, *(part._paths for part in parts), strict=True):
            concatenate(pieces, path)
            for piece in pieces:
                piece.unlink(missing_ok=True)

    def remove(self) -> None:
        """Forget the rows."""
        for path in self._paths:
            path.unlink(missing_ok=True)

    @property
    def _paths(self) -> list[Path]:
        return [path for path in astuple(self) if path is not None]


Columns = dict[str, NDArray[np.int64]]


def read_columns(path: Path, names: Sequence[str]) -> Columns:
    """The named int64 columns of a table file; all empty where no row was ever written.

    They are filled block by block: reading the table as a whole takes four times their memory.
    """
    columns = {name: np.empty(rows_in(path), np.int64) for name in names}
    start = 0
    for block in blocks(path, names):
        end = start + len(block[names[0]])
        for name in names:
            columns[name][start:end] = block[name]
        start = end
    return columns


def blocks(path: Path, names: Sequence[str]) -> Iterator[Columns]:
    """The same a row group at a time, so that memory does not grow with the table.

    Another thread reads the next one in the meantime.
    """
    if not path.exists():
        return
    with pq.ParquetFile(path) as file, ThreadPoolExecutor(1, "eslab-read") as ahead:

        def read(group: int) -> Columns:
            table = file.read_row_group(group, columns=list(names), use_threads=False)
            return {name: table[name].to_numpy() for name in names}

        groups = range(file.num_row_groups)
        reading = [ahead.submit(read, group) for group in groups[:1]]
        for group in groups:
            block = reading.pop().result()
            reading += [ahead.submit(read, after) for after in groups[group + 1 : group + 2]]
            yield block


def rows_in(path: Path) -> int:
    """How many rows a table file has; 0 if none was ever written."""
    return int(pq.read_metadata(path).num_rows) if path.exists() else 0
