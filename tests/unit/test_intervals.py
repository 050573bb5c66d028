"""A trial second by second, from rows and looks that were made by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.domain.outcome import Outcome
from harness.domain.server import Statistics
from harness.load.column_buffer import SAMPLE_COLUMNS
from harness.load.loops import Window
from harness.load.trial_files import TrialFiles
from harness.results import TableWriter
from harness.run.sampling import Look, Sampler
from harness.run.trial_metrics import interval_rows
from harness.run.trial_samples import Seconds, TrialSamples
from harness.scenario.model import ClosedLoop

S = 1_000_000_000
START = 100 * S
CLOSED = ClosedLoop(workers=1)
TRIAL = SimpleNamespace(id="001-memory", store=SimpleNamespace(key="memory"))


def written(folder: Path, operations: list[tuple[float, float, Outcome]]) -> TrialFiles:
    """Operations as (sent, done, outcome), in seconds from the start."""
    rows = np.full((len(operations), len(SAMPLE_COLUMNS)), -1, np.int64)
    for number, (sent_s, done_s, outcome) in enumerate(operations):
        named = {
            "op": number,
            "intended_ns": START + sent_s * S,
            "sent_ns": START + sent_s * S,
            "done_ns": START + done_s * S,
            "outcome": outcome,
        }
        for name, value in named.items():
            rows[number, SAMPLE_COLUMNS.index(name)] = int(value)
    writer = TableWriter(folder / "samples.parquet", SAMPLE_COLUMNS)
    writer.write(rows)
    writer.close()
    return TrialFiles(folder / "samples.parquet", folder / "a", folder / "d")


def rows_of(folder: Path, operations: list, *, length_s: float, looks: list | None = None) -> list:
    window = Window(START, START + int(length_s * S), len(operations))
    samples = TrialSamples.read(CLOSED, window, written(folder, operations))
    return list(interval_rows(TRIAL, samples, looks or []))


def test_a_stall_is_a_second_in_which_nothing_ended_and_everything_was_in_flight(tmp_path: Path):
    operations = [(0.1, 0.2, Outcome.OK), (0.5, 2.4, Outcome.OK), (0.9, 2.4, Outcome.OK)]
    first, stalled, last = rows_of(tmp_path, operations, length_s=3.0)
    assert (first["ok"], stalled["ok"], last["ok"]) == (1, 0, 2)
    assert (first["in_flight"], stalled["in_flight"], last["in_flight"]) == (2, 2, 0)
    assert stalled["service_max_ns"] is None
    assert last["service_max_ns"] == pytest.approx(1.9 * S)


def test_outcomes_are_counted_in_the_second_in_which_they_ended(tmp_path: Path):
    outcomes = [Outcome.OK, Outcome.CONFLICT, Outcome.REFUSED, Outcome.UNKNOWN]
    (row,) = rows_of(tmp_path, [(0.1, 0.5, one) for one in outcomes], length_s=1.0)
    assert (row["ok"], row["conflict"], row["failed"]) == (1, 1, 2)


LENGTHS = [(2.05, [1, 1.05]), (2.5, [1, 1, 0.5]), (0.3, [0.3])]


@pytest.mark.parametrize(("length_s", "lengths"), LENGTHS)
def test_the_last_row_has_the_rest(tmp_path: Path, length_s: float, lengths: list[float]):
    rows = rows_of(tmp_path, [(0.1, length_s - 0.01, Outcome.OK)], length_s=length_s)
    assert [row["length_s"] for row in rows] == pytest.approx(lengths)
    assert sum(row["ok"] for row in rows) == 1


times_s = st.integers(0, 44).map(lambda tenths: tenths / 10)


@given(
    times=st.lists(st.tuples(times_s, times_s, st.booleans()), max_size=12),
    length_s=st.sampled_from([3.0, 3.05, 3.5]),
)
def test_each_operation_is_counted_where_it_ended_and_at_each_end_that_it_crossed(times, length_s):
    seconds = Seconds(Window(START, START + round(length_s * S), len(times)))
    operations = [
        (START + round(min(pair) * S) if sent else 0, START + round(max(pair) * S))
        for *pair, sent in times
    ]
    sent_ns, done_ns = np.array(operations, np.int64).reshape(-1, 2).T
    block = {"sent_ns": sent_ns, "done_ns": done_ns, "outcome": np.zeros(len(times), np.int64)}
    for part in np.array_split(np.arange(len(times)), 3):
        if len(part):
            seconds.extend({name: column[part] for name, column in block.items()})
    ends_ns = seconds.bounds_ns[1:]
    ended = [sum(end <= done for end in ends_ns[:-1]) for _, done in operations]
    assert seconds.ended[:, Outcome.OK].tolist() == [ended.count(n) for n in range(len(ends_ns))]
    crossing = [sum(0 < sent < end <= done for sent, done in operations) for end in ends_ns]
    assert seconds.in_flight.tolist() == crossing


def test_cpu_is_what_was_used_within_the_second_and_memory_what_stood_at_its_end(tmp_path: Path):
    looks = [
        Look(START - S, 10.0, Statistics(50.0, 1000, 7000)),
        Look(START + S, 11.0, Statistics(52.0, 3000, 9000)),
        Look(START + 2 * S, 11.8, Statistics(52.5, 4000, 9000)),
    ]
    first, second = rows_of(tmp_path, [], length_s=2.0, looks=looks)
    assert (first["generator_cpu_s"], second["generator_cpu_s"]) == pytest.approx((0.5, 0.8))
    assert (first["server_cpu_s"], second["server_cpu_s"]) == pytest.approx((1.0, 0.5))
    assert (first["server_memory_bytes"], second["server_memory_bytes"]) == (3000, 4000)


def test_what_cannot_be_had_is_empty_and_never_zero(tmp_path: Path):
    looks = [Look(START, 1.0, Statistics(None, None, None))] * 2
    (row,) = rows_of(tmp_path, [], length_s=1.0, looks=looks)
    assert row["server_cpu_s"] is row["server_memory_bytes"] is row["service_p50_ns"] is None


def test_a_sampler_looks_at_the_beginning_and_at_the_end():
    with Sampler(None) as sampler:
        pass
    assert len(sampler.looks) == 2
    assert sampler.looks[0].server == Statistics(None, None, None)
