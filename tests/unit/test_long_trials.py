"""A trial too long for memory says what the same trial says when all of it is kept."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load.column_buffer import SAMPLE_COLUMNS
from harness.load.loops import Window
from harness.load.trial_files import TrialFiles
from harness.results import TableWriter, hlog
from harness.run.long_trials import LongColumn
from harness.run.steadiness import steadiness
from harness.run.trial_metrics import Delay, Spread
from harness.run.trial_samples import TrialSamples
from harness.scenario.model import OpenLoop

S = 1_000_000_000
OPEN = OpenLoop(rate_per_s=1, in_flight_max=64)
OPERATIONS, LENGTH_S = 40_000, 12
WINDOW = Window(1_000 * S, (1_000 + LENGTH_S) * S, OPERATIONS)


def made_files(folder, *, processes: int = 2) -> TrialFiles:
    """Two processes, one after the other; some operations fail, some are of the warm-up."""
    rng = np.random.default_rng(3)
    files = TrialFiles(folder / "samples.parquet", folder / "appends", folder / "none")
    writer = TableWriter(files.samples, SAMPLE_COLUMNS)
    for process in range(processes):
        count = OPERATIONS // processes
        intended = WINDOW.started_ns + np.sort(rng.integers(0, (LENGTH_S - 1) * S, count))
        dispatched = intended + rng.integers(0, 90_000, count)
        sent = dispatched + rng.integers(0, 5_000, count)
        done = sent + rng.lognormal(np.log(1e6), 1.0, count).astype(np.int64)
        done[:: count // 7] += 5 * S  # longer than 32 bits
        op = np.arange(process, OPERATIONS, processes)
        op[:100] = -2
        cells = dict.fromkeys(SAMPLE_COLUMNS, np.ones(count, np.int64)) | {
            "op": op, "intended_ns": intended, "dispatched_ns": dispatched, "sent_ns": sent,
            "done_ns": done, "outcome": (rng.random(count) < 0.02).astype(np.int64),
        }  # fmt: skip
        rows = np.column_stack([cells[name] for name in SAMPLE_COLUMNS])[np.argsort(done)]
        for first in range(0, count, 3_000):
            writer.write(rows[first : first + 3_000])
    writer.close()
    return files


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrialSamples, TrialSamples]:
    files = made_files(tmp_path_factory.mktemp("long"))
    return tuple(TrialSamples.read(OPEN, WINDOW, files, kept_max=most) for most in (10**6, 10))


def test_times_are_those_of_all_values(both):
    kept, long = both
    assert isinstance(long.completions.service_ns, LongColumn)
    for column in ("service_ns", "response_ns"):
        one, other = (getattr(samples.completions, column).values for samples in both)
        for kept_ns, long_ns in zip(
            astuple(Spread.of(one)), astuple(Spread.of(other)), strict=True
        ):
            # Of two neighbours between which the one lies, the other is the lower one.
            assert long_ns == (kept_ns and pytest.approx(kept_ns, rel=2e-3))
        assert long_ns == kept_ns, "the largest"
        ranks = [0, *range(777, len(one), 3_001), len(one) - 1]
        exact = np.sort(one)[ranks].tolist()
        assert other.of_ranks(ranks) == pytest.approx(exact, rel=1e-9)
    for column in ("dispatch_delay_ns", "queue_delay_ns"):
        one, other = (Delay.of(getattr(samples, column).values) for samples in both)
        assert astuple(other) == pytest.approx(astuple(one), rel=2e-3)
    assert (kept.ended == long.ended).all()


def test_seconds_histograms_and_steadiness_are_the_same(both):
    edges_ns = [WINDOW.started_ns + second * S for second in range(1, LENGTH_S)]
    for column in ("service_ns", "response_ns"):
        parts = [
            [sorted(part) for part in done.split(edges_ns, getattr(done, column))]
            for done in (samples.completions for samples in both)
        ]
        assert parts[0] == parts[1]
    kept, long = (samples.completions for samples in both)
    assert kept.counts(edges_ns) == long.counts(edges_ns)
    assert (kept.count, kept.last_ns) == (long.count, long.last_ns)
    assert steadiness(OPEN, WINDOW.started_ns, kept) == steadiness(OPEN, WINDOW.started_ns, long)


@given(st.lists(st.integers(0, 1 << 31), min_size=1, max_size=40), st.data())
def test_a_value_of_any_rank_occurred(values, data):
    column = LongColumn("sent_ns", lambda: iter([np.array(values, np.int64)]))
    column.extend(np.array(values, np.int64))
    ranks = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=4))
    assert column.of_ranks(ranks) == [sorted(values)[rank] for rank in ranks]


def test_a_long_value_is_exact_to_a_billionth():
    value = 3_600 * S + 12_345_678_901
    column = LongColumn("sent_ns", lambda: iter([np.array([value])]))
    column.extend(np.array([value]))
    assert column.of_ranks([0]) == pytest.approx([value], rel=1e-9)


@given(st.integers(0, hlog.HIGHEST_NS))
def test_a_value_lies_within_the_bounds_of_its_bucket(value):
    lowest, width = hlog.bounds(int(hlog.index(np.array([value]))[0]))
    assert lowest <= value < lowest + width
