"""Recording: every row arrives once, in order, and memory stays bounded."""

import numpy as np
import pytest

from harness.load import column_buffer
from harness.load.column_buffer import ROWS_A_BUFFER, SAMPLE_COLUMNS, ColumnBuffer, SampleBuffer

BUFFER_BYTES = ROWS_A_BUFFER * 2 * 8
"""Of a table of two columns."""


class Collecting:
    """A sink that keeps copies of its blocks."""

    def __init__(self):
        self.blocks = []
        self.closed = False

    def write(self, block):
        self.blocks.append(block.copy())

    def close(self):
        self.closed = True


class Failing(Collecting):
    def write(self, block):
        raise OSError("no space left on device")


@pytest.mark.parametrize("kept", [0, 1, column_buffer.KEPT_BYTES_MAX // BUFFER_BYTES])
def test_rows_reach_the_sink_once_and_in_order_across_buffers(monkeypatch, kept):
    monkeypatch.setattr(column_buffer, "KEPT_BYTES_MAX", kept * BUFFER_BYTES)
    sink = Collecting()
    rows = ColumnBuffer(("a", "b"), sink)
    count = 3 * ROWS_A_BUFFER + 17
    for number in range(count):
        rows.add(number, -number)
    assert rows.rows == count
    rows.close()
    everything = np.concatenate(sink.blocks)
    assert sink.closed
    assert (everything[:, 0] == np.arange(count)).all()
    assert (everything[:, 1] == -np.arange(count)).all()


def test_full_buffers_are_kept_while_there_is_room_and_the_oldest_written_beyond(monkeypatch):
    """Writing takes the cores on which a trial measures."""
    monkeypatch.setattr(column_buffer, "KEPT_BYTES_MAX", 2 * BUFFER_BYTES)
    sink = Collecting()
    rows = ColumnBuffer(("a", "b"), sink)
    for number in range(2 * ROWS_A_BUFFER):
        rows.add(number, 0)
    assert (rows._writing, sink.blocks) == ([], [])
    for number in range(2 * ROWS_A_BUFFER):
        rows.add(2 * ROWS_A_BUFFER + number, 0)
    for writing in rows._writing:
        writing.result()
    assert [block[0, 0] for block in sink.blocks] == [0, ROWS_A_BUFFER]
    rows.close()
    assert sum(map(len, sink.blocks)) == 4 * ROWS_A_BUFFER


def test_a_write_that_fails_is_told_at_the_latest_on_closing():
    rows = ColumnBuffer(("a",), Failing())
    rows.add(1)
    with pytest.raises(OSError, match="no space left"):
        rows.close()


def test_the_sink_is_closed_even_if_a_write_failed():
    sink = Failing()
    rows = ColumnBuffer(("a",), sink)
    rows.add(1)
    with pytest.raises(OSError, match="no space left"):
        rows.close()
    assert sink.closed


def test_the_latest_rows_can_be_looked_at_while_recording():
    rows = ColumnBuffer(("a",), Collecting())
    for number in range(10):
        rows.add(number)
    assert rows.latest(3)[:, 0].tolist() == [7, 8, 9]
    rows.close()


def test_a_table_without_a_sink_counts_and_forgets():
    rows = ColumnBuffer(("a",), None)
    for number in range(ROWS_A_BUFFER + 5):
        rows.add(number)
    assert rows.rows == ROWS_A_BUFFER + 5
    rows.close()


def test_an_operations_row_has_the_columns_in_their_declared_order():
    sink = Collecting()
    rows = SampleBuffer(sink)
    rows.add_operation(*range(len(SAMPLE_COLUMNS)))
    rows.add_operation(*range(9))
    rows.close()
    assert sink.blocks[0].tolist() == [
        list(range(len(SAMPLE_COLUMNS))),
        [*range(9), -1, -1, 0, -1, -1],
    ]
