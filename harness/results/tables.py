"""Raw columns to disk: one Parquet file a table and trial, one row group a block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from harness.errors import LabError
from harness.results.disk import writing


class TableWriter:
    """Takes blocks of int64 rows. Delta packing and zstd: about 8 bytes a row of samples.

    Blocks are on their way to the disk when `write` returns, so their memory may be reused.
    A file that could not be written is removed: its space goes to what is still to be kept.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        self._schema = pa.schema([pa.field(name, pa.int64(), nullable=False) for name in columns])
        self._writer: pq.ParquetWriter | None = None
        self._writer = self._open()

    def write(self, block: NDArray[np.int64]) -> None:
        """One row group; `block` has a row an event and a column a name. Raises `LabError`."""
        if self._writer is None:
            raise LabError(f"{self._path} is closed")
        if not len(block):
            return
        columns = np.ascontiguousarray(block.T)
        table = pa.table([pa.array(column) for column in columns], schema=self._schema)
        with self._abandoned_if_failed():
            self._writer.write_table(table, row_group_size=len(block))

    def close(self) -> None:
        """Write the footer; without it the file cannot be read. Raises `LabError`."""
        if self._writer is None:
            return
        with self._abandoned_if_failed():
            self._writer.close()
        self._writer = None

    def _open(self) -> pq.ParquetWriter:
        with self._abandoned_if_failed():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return pq.ParquetWriter(
                self._path,
                self._schema,
                compression="zstd",
                use_dictionary=False,
                column_encoding="DELTA_BINARY_PACKED",
            )

    @contextmanager
    def _abandoned_if_failed(self) -> Iterator[None]:
        try:
            with writing(self._path):
                yield
        except LabError:
            self._abandon()
            raise

    def _abandon(self) -> None:
        """Give the file up; its writer only fails again when it is asked to finish."""
        writer, self._writer = self._writer, None
        with suppress(OSError):
            if writer is not None:
                writer.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def concatenate(parts: Sequence[Path], path: Path) -> None:
    """Write the rows of files with the same columns into one, a row group at a time.

    Parts that nobody finished are left out. Raises `LabError`.
    """
    whole = [part for part in parts if _is_whole(part)]
    if not whole:
        return
    writer = TableWriter(path, pq.read_schema(whole[0]).names)
    for part in whole:
        with pq.ParquetFile(part) as file:
            for group in range(file.num_row_groups):
                writer.write(_rows(file.read_row_group(group)))
    writer.close()


def _is_whole(part: Path) -> bool:
    """Whether its writer lived to finish it."""
    try:
        pq.read_schema(part)
    except (pa.ArrowInvalid, FileNotFoundError):
        return False
    return True


def _rows(table: pa.Table) -> NDArray[np.int64]:
    return np.column_stack([column.to_numpy() for column in table.columns])
