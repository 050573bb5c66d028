"""What is said of a trial's operations, block by block, against the whole columns at once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.outcome import Outcome
from harness.results.tables import TableWriter
from harness.runner.operations import Operations

COLUMNS = ("op", "sent_ns", "done_ns", "outcome", "attempts", "events")


def operation():
    return st.tuples(
        st.integers(-2, 5),
        st.integers(0, 1000),
        st.integers(0, 1000),
        st.sampled_from([int(outcome) for outcome in Outcome]),
        st.integers(0, 3),
        st.integers(0, 4),
    )


BLOCKS = st.lists(st.lists(operation(), min_size=1, max_size=5), max_size=4)


@given(BLOCKS)
def test_blocks_add_up_to_what_the_whole_says(tmp_path_factory, blocks):
    operations = Operations(tmp_path_factory.mktemp("trial") / "samples.parquet")
    writer = TableWriter(operations.samples, COLUMNS)
    for block in blocks:
        writer.write(np.array(block, np.int64))
    writer.close()
    rows = [dict(zip(COLUMNS, row, strict=True)) for block in blocks for row in block]
    measured = [row for row in rows if row["op"] >= 0]
    well = [row for row in measured if row["outcome"] == Outcome.OK]
    tally = operations.tally()
    assert tally.ended.tolist() == [sum(r["outcome"] == o for r in measured) for o in Outcome]
    assert tally.events == sum(row["events"] for row in well)
    assert tally.attempts == sum(row["attempts"] for row in measured)
    assert tally.retries == sum(max(0, row["attempts"] - 1) for row in measured)
    assert operations.ends_ns().tolist() == [row["done_ns"] for row in well]
    times = operations.times_ns("done_ns", "sent_ns")
    assert times.tolist() == [row["done_ns"] - row["sent_ns"] for row in well]


def test_a_trial_that_wrote_nothing_has_no_operations(tmp_path):
    operations = Operations(tmp_path / "samples.parquet")
    assert operations.tally().ended.sum() == 0
    assert len(operations.ends_ns()) == 0


def test_an_operation_that_ended_badly_has_no_time(tmp_path):
    writer = TableWriter(tmp_path / "samples.parquet", COLUMNS)
    bad = [(0, 1, 9, int(outcome), 1, 1) for outcome in Outcome if outcome is not Outcome.OK]
    writer.write(np.array([*bad, (1, 2, 5, int(Outcome.OK), 1, 1)], np.int64))
    writer.close()
    times = Operations(tmp_path / "samples.parquet").times_ns("done_ns", "sent_ns")
    assert times.tolist() == [3]
