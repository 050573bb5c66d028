"""Raw columns: int64 rows in buffers that are written to disk when a trial is over.

Packing a row for the disk costs a fifth of what the generator does for an operation, on cores that
the servers want too. So full buffers are kept while there is room; beyond it, in the longest
trials, another thread writes the oldest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from struct import Struct
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

ROWS_A_BUFFER = 65_536
KEPT_BYTES_MAX = 64 << 20
"""Of full buffers of one table: half a million operations' samples."""
BUFFERS_MAX = 4
"""Buffers that may wait for the disk before recording waits too, which bounds memory."""


class Sink(Protocol):
    """Where full buffers go: `harness.results.TableWriter`, or nowhere."""

    def write(self, block: NDArray[np.int64]) -> None:
        """Store one block of rows."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


class ColumnBuffer:
    """An append-only table of int64 columns with bounded memory.

    `add(*row)` costs about 25 ns a value. Blocks reach the sink in order.
    """

    def __init__(self, columns: Sequence[str], sink: Sink | None) -> None:
        self.columns = tuple(columns)
        self.count = 0
        self._sink = sink
        self._row = Struct(f"={len(columns)}q")
        self._pack = self._row.pack_into
        self._step = self._row.size
        self._end = self._step * ROWS_A_BUFFER
        self._free = [bytearray(self._end) for _ in range(2)]
        self._buffer = self._free.pop()
        self._offset = 0
        self._kept: deque[tuple[bytearray, int]] = deque()
        """Full buffers and their lengths, the oldest first."""
        self._kept_max = KEPT_BYTES_MAX // self._end
        self._writing: list[Future[bytearray]] = []
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="eslab-spill")

    def add(self, *row: int) -> None:
        """Record one row; every value fits int64."""
        offset = self._offset
        self._pack(self._buffer, offset, *row)
        self._offset = offset = offset + self._step
        if offset == self._end:
            self._spill()

    @property
    def rows(self) -> int:
        """Rows recorded so far."""
        return self.count + self._offset // self._step

    def latest(self, count: int) -> NDArray[np.int64]:
        """A copy of the last rows still in memory, at most `count`; for progress lines."""
        first = max(0, self._offset - count * self._step)
        return self._block(bytes(self._buffer[first : self._offset]))

    def close(self) -> None:
        """Write the remaining rows and close the sink; raises a failed write here at the latest."""
        try:
            self._spill()
            while self._kept:
                self._write_oldest()
            while self._writing:
                self._reclaim()
        finally:
            self._thread.shutdown()
            if self._sink is not None:
                self._sink.close()

    def _spill(self) -> None:
        self.count += self._offset // self._step
        if self._sink is not None and self._offset:
            self._kept.append((self._buffer, self._offset))
            if len(self._kept) > self._kept_max:
                self._write_oldest()
            self._buffer = self._next_buffer()
        self._offset = 0

    def _write_oldest(self) -> None:
        self._writing.append(self._thread.submit(self._write, *self._kept.popleft()))

    def _write(self, buffer: bytearray, length: int) -> bytearray:
        assert self._sink is not None
        self._sink.write(self._block(memoryview(buffer)[:length]))
        return buffer

    def _next_buffer(self) -> bytearray:
        while self._writing and (self._writing[0].done() or len(self._writing) >= BUFFERS_MAX):
            self._reclaim()
        return self._free.pop() if self._free else bytearray(self._end)

    def _reclaim(self) -> None:
        self._free.append(self._writing.pop(0).result())

    def _block(self, raw: bytes | memoryview) -> NDArray[np.int64]:
        return np.frombuffer(raw, np.int64).reshape(-1, len(self.columns))


SAMPLE_COLUMNS = (
    "op",
    "worker",
    "intended_ns",
    "dispatched_ns",
    "sent_ns",
    "done_ns",
    "outcome",
    "attempts",
    "events",
    "stream",
    "first",
    "count",
    "expected",
    "version",
)


class SampleBuffer(ColumnBuffer):
    """A row an operation. Named parameters instead of `*row`, which would cost 0.3 µs more."""

    def __init__(self, sink: Sink | None) -> None:
        super().__init__(SAMPLE_COLUMNS, sink)

    def add_operation(
        self,
        op: int,
        worker: int,
        intended_ns: int,
        dispatched_ns: int,
        sent_ns: int,
        done_ns: int,
        outcome: int,
        attempts: int,
        events: int,
        stream: int = -1,
        first: int = -1,
        count: int = 0,
        expected: int = -1,
        version: int = -1,
    ) -> None:
        """Record one operation; without an acknowledged append the last five keep defaults."""
        offset = self._offset
        self._pack(
            self._buffer,
            offset,
            op,
            worker,
            intended_ns,
            dispatched_ns,
            sent_ns,
            done_ns,
            outcome,
            attempts,
            events,
            stream,
            first,
            count,
            expected,
            version,
        )
        self._offset = offset = offset + self._step
        if offset == self._end:
            self._spill()
