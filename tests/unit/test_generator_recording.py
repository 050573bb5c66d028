"""Recording: every row arrives once, in order, and memory stays bounded."""

import numpy as np
import pytest

from harness.load.column_buffer import ROWS_A_BUFFER, SAMPLE_COLUMNS, ColumnBuffer, SampleBuffer


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


def test_rows_reach_the_sink_once_and_in_order_across_buffers():
    sink = Collecting()
    rows = ColumnBuffer(("a", "b"), sink)
    count = 2 * ROWS_A_BUFFER + 17
    for number in range(count):
        rows.add(number, -number)
    assert rows.rows == count
    rows.close()
    everything = np.concatenate(sink.blocks)
    assert sink.closed
    assert (everything[:, 0] == np.arange(count)).all()
    assert (everything[:, 1] == -np.arange(count)).all()


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
