"""One pass over a trial's samples, block by block, compared with the whole columns at once."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.percentiles import percentiles
from harness.domain.outcome import Outcome
from harness.load.loops import Window
from harness.load.trial_files import TrialFiles
from harness.results import TableWriter
from harness.run.trial_metrics import Spread
from harness.run.trial_samples import Completions, NarrowColumn, TrialSamples
from harness.scenario.model import ClosedLoop, OpenLoop

S = 1_000_000_000
WINDOW = Window(100 * S, round(103.05 * S), 0)
CLOSED = ClosedLoop(workers=1)
OPEN = OpenLoop(rate_per_s=10, in_flight_max=8)
COLUMNS = (
    "op", "intended_ns", "dispatched_ns", "sent_ns", "done_ns", "outcome", "attempts", "events",
    "expected",
)  # fmt: skip


@st.composite
def operations(draw):
    """A row of the samples; times are within the window, and may take longer than 32 bits of ns."""
    times = sorted(draw(st.lists(st.integers(0, 3 * S), min_size=4, max_size=4)))
    intended, *rest = (WINDOW.started_ns + each for each in times)
    return (
        draw(st.integers(-2, 5)), intended - draw(st.sampled_from([0, 6 * S])), *rest,
        draw(st.sampled_from([int(outcome) for outcome in Outcome])),
        draw(st.integers(0, 3)), draw(st.integers(0, 4)), draw(st.sampled_from([-3, -2, -1, 0, 9])),
    )  # fmt: skip


BLOCKS = st.lists(st.lists(operations(), min_size=1, max_size=5), max_size=4)


def read(folder, blocks, load=OPEN):
    files = TrialFiles(folder / "samples.parquet", folder / "appends", folder / "none")
    writer = TableWriter(files.samples, COLUMNS)
    for block in blocks:
        writer.write(np.array(block, np.int64))
    writer.close()
    return TrialSamples.read(load, WINDOW, files)


def rows_of(blocks):
    rows = [dict(zip(COLUMNS, row, strict=True)) for block in blocks for row in block]
    return [row for row in rows if row["op"] >= 0]


@given(BLOCKS)
def test_blocks_add_up_to_what_the_whole_says(tmp_path_factory, blocks):
    samples = read(tmp_path_factory.mktemp("trial"), blocks)
    measured = rows_of(blocks)
    well = [row for row in measured if row["outcome"] == Outcome.OK]
    assert samples.ended.tolist() == [sum(r["outcome"] == o for r in measured) for o in Outcome]
    assert samples.events == sum(row["events"] for row in well)
    assert samples.attempts == sum(row["attempts"] for row in measured)
    assert samples.retries == sum(max(0, row["attempts"] - 1) for row in measured)
    assert samples.versioned == sum(row["expected"] != -1 for row in measured)
    done = samples.completions
    for column, since in (
        (done.service_ns, "sent_ns"), (done.response_ns, "intended_ns"),
    ):  # fmt: skip
        assert column.values.tolist() == [row["done_ns"] - row[since] for row in well]
    queued = [row["sent_ns"] - row["dispatched_ns"] for row in well]
    assert samples.queue_delay_ns.values.tolist() == queued
    late = [row["dispatched_ns"] - row["intended_ns"] for row in well]
    assert samples.dispatch_delay_ns.values.tolist() == late


@given(BLOCKS)
def test_seconds_count_what_ended_in_them_and_what_was_in_flight_at_their_end(
    tmp_path_factory, blocks
):
    seconds = read(tmp_path_factory.mktemp("trial"), blocks).seconds
    measured = rows_of(blocks)
    for number, (from_ns, to_ns) in enumerate(pairwise(seconds.bounds_ns)):
        within = [row for row in measured if from_ns <= row["done_ns"] < to_ns]
        expected = [sum(row["outcome"] == o for row in within) for o in Outcome]
        assert seconds.ended[number].tolist() == expected
        crossing = [row for row in measured if row["sent_ns"] < to_ns <= row["done_ns"]]
        assert seconds.in_flight[number] == len(crossing)


@given(BLOCKS, st.lists(st.integers(0, 3 * S), max_size=5).map(sorted))
def test_values_are_split_by_the_time_of_the_end(tmp_path_factory, blocks, edges):
    done = read(tmp_path_factory.mktemp("trial"), blocks).completions
    edges_ns = [WINDOW.started_ns + each for each in edges]
    well = [row for row in rows_of(blocks) if row["outcome"] == Outcome.OK]
    bounds = [0, *edges_ns, 1 << 62]
    expected = [
        [row["done_ns"] - row["sent_ns"] for row in well if from_ns <= row["done_ns"] < to_ns]
        for from_ns, to_ns in pairwise(bounds)
    ]
    assert [each.tolist() for each in done.split(edges_ns, done.service_ns)] == expected
    assert done.counts(edges_ns) == [len(each) for each in expected]


@pytest.mark.parametrize("disorder_s", [0, 1, 20])
def test_ends_of_a_block_that_lasts_longer_than_32_bits_can_say_are_kept(disorder_s):
    rng = np.random.default_rng(1)
    ends_ns = WINDOW.started_ns + np.arange(1_000) * (20 * S // 1_000)
    ends_ns += rng.integers(0, disorder_s * S, 1_000, endpoint=True)
    done = Completions(1_000, open_loop=False)
    done.extend({"done_ns": ends_ns, "sent_ns": ends_ns - np.arange(1_000)})
    edges_ns = [WINDOW.started_ns + each * S // 10 for each in range(1, 400, 7)]
    for of_part, (from_ns, to_ns) in zip(
        done.split(edges_ns, done.service_ns), pairwise([0, *edges_ns, 1 << 62]), strict=True
    ):
        inside = (from_ns <= ends_ns) & (ends_ns < to_ns)
        assert of_part.tolist() == np.flatnonzero(inside).tolist()
    narrow = done._offsets_ns.values.dtype == np.uint32
    assert narrow == (disorder_s < 20), "4 bytes where a part of the block is short enough"


def test_a_trial_that_wrote_nothing_has_no_operations(tmp_path):
    files = TrialFiles(tmp_path / "samples.parquet", tmp_path / "a", tmp_path / "d")
    samples = TrialSamples.read(CLOSED, WINDOW, files)
    assert samples.ended.sum() == samples.completions.count == 0
    assert Spread.of(samples.completions.service_ns.values).max_ns is None


def test_an_operation_that_ended_badly_has_no_time(tmp_path):
    at = WINDOW.started_ns
    bad = [(0, at, at, at, at + 9, int(o), 1, 1, -1) for o in Outcome if o is not Outcome.OK]
    well = (1, at, at, at + 2, at + 5, int(Outcome.OK), 1, 1, -1)
    samples = read(tmp_path, [[*bad, well]], CLOSED)
    assert samples.completions.service_ns.values.tolist() == [3]


@pytest.mark.parametrize("odd", [-1, 1 << 32, 1 << 60])
def test_a_value_that_does_not_fit_32_bits_widens_the_column(odd):
    column = NarrowColumn(5)
    column.extend(np.array([1, (1 << 32) - 1]))
    assert column.values.dtype == np.uint32
    column.extend(np.array([2, odd]))
    assert column.values.tolist() == [1, (1 << 32) - 1, 2, odd]


def test_percentiles_of_narrow_columns_are_those_of_64_bits():
    values = np.random.default_rng(1).integers(0, 1 << 32, 300_001)
    narrow = NarrowColumn(len(values))
    narrow.extend(values)
    wanted = (50.0, 90.0, 95.0, 99.0, 99.9)
    spread = Spread.of(narrow.values)
    found = [spread.p50_ns, spread.p90_ns, spread.p95_ns, spread.p99_ns, spread.p999_ns]
    assert found == percentiles(values, wanted)
    assert narrow.values.tolist() == values.tolist(), "their order is kept"


def test_nothing_that_ended_is_an_empty_split():
    done = Completions(0, open_loop=False)
    assert [len(each) for each in done.split([1, 2], done.service_ns)] == [0, 0, 0]
