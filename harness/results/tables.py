"""Tables to disk: a full disk is one clear line, and half a file never replaces a whole one."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from harness.domain.errors import LabError
from harness.domain.files import replace_file

_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an `OSError` inside the block into a `LabError` of one line that names `path`."""
    try:
        yield
    except OSError as error:
        raise LabError(
            f"{_cause(error)}: cannot write {path}; finished trials stay readable"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file, or a link in its place, as a whole; on disk before this returns.

    Raises `LabError`.
    """
    with writing(path):
        replace_file(path, content)


def is_full(error: OSError) -> bool:
    """Whether the disk is full."""
    return error.errno in _FULL


def _cause(error: OSError) -> str:
    if is_full(error):
        return "the disk is full"
    return error.strerror or str(error)


class TableWriter:
    """Takes blocks of int64 rows. Delta packing and zstd: about 8 bytes a row of samples.

    Blocks are on their way to the disk when `write` returns, so their memory may be reused.
    A file that could not be written is removed, which frees space for the rest of the run.
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
        table = pa.Table.from_arrays([_array(column) for column in columns], schema=self._schema)
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
        """Remove the file; its writer would only fail again on closing."""
        writer, self._writer = self._writer, None
        with suppress(OSError):
            if writer is not None:
                writer.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def concatenate(parts: Sequence[Path], path: Path) -> None:
    """Write the rows of files with the same columns into one, a row group at a time.

    Unfinished parts are left out. Raises `LabError`.
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
    """Whether its writer finished it."""
    try:
        pq.read_schema(part)
    except (pa.ArrowInvalid, FileNotFoundError):
        return False
    return True


def _array(column: NDArray[np.int64]) -> pa.Array:
    """As `pa.array`, which would import pandas in a worker process amid its measurement."""
    return pa.Array.from_buffers(pa.int64(), len(column), [None, pa.py_buffer(column)])


def _rows(table: pa.Table) -> NDArray[np.int64]:
    return np.column_stack([column.to_numpy() for column in table.columns])
