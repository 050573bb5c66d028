"""What counts as a time without service, and what is only slow, rare or short."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from harness.domain.outcome import Outcome
from harness.load.column_buffer import SAMPLE_COLUMNS
from harness.load.loops import Window
from harness.load.trial_files import TrialFiles
from harness.results import TableWriter
from harness.run.outages import outages
from harness.run.trial_metrics import Spread
from harness.run.trial_samples import TrialSamples
from harness.scenario.model import ClosedLoop, OpenLoop

S = 1_000_000_000
MS = S // 1000
CLOSED, OPEN = ClosedLoop(workers=1), OpenLoop(rate_per_s=1, in_flight_max=64)
OK, CONFLICT, REFUSED = Outcome.OK, Outcome.CONFLICT, Outcome.REFUSED
UNKNOWN, TIMEOUT, DROPPED = Outcome.UNKNOWN, Outcome.TIMEOUT, Outcome.DROPPED
START = 1_000 * S


def read(folder, operations, length_s, load=CLOSED):
    """`operations`: intended (or also sent) and end in seconds, and outcome; a block of 50 each."""
    rows = []
    for intended_s, done_s, outcome in operations:
        intended, done = START + round(intended_s * S), START + round(done_s * S)
        row = dict.fromkeys(SAMPLE_COLUMNS, 1) | {
            "op": len(rows), "intended_ns": intended, "dispatched_ns": intended,
            "sent_ns": intended, "done_ns": done, "outcome": int(outcome),
        }  # fmt: skip
        rows.append([row[name] for name in SAMPLE_COLUMNS])
    files = TrialFiles(folder / "samples.parquet", folder / "appends", folder / "none")
    writer = TableWriter(files.samples, SAMPLE_COLUMNS)
    for first in range(0, len(rows), 50):
        writer.write(np.array(rows[first : first + 50], np.int64))
    writer.close()
    window = Window(START, START + round(length_s * S), len(rows))
    return TrialSamples.read(load, window, files), window, files


def without_service_s(folder, operations, length_s, load=CLOSED):
    samples, window, files = read(folder, operations, length_s, load)
    return sum(to - from_ for from_, to in outages(samples.service, window, files)) / S


def one_after_another(from_s, to_s, each_s, outcome=OK, pause_s=0.0):
    """A client that waits for each answer."""
    count = int((to_s - from_s) / (each_s + pause_s))
    starts = from_s + np.arange(count) * (each_s + pause_s)
    return [(start, start + each_s, outcome) for start in starts]


def stalled(from_s, to_s, clients=8, outcome=OK):
    return [(from_s - 0.001, to_s + number / 1e4, outcome) for number in range(clients)]


def test_a_server_that_stood_still_for_33_seconds_is_counted_in_full(tmp_path):
    load = one_after_another(0, 4, 0.005) + stalled(4, 37) + one_after_another(37.01, 41, 0.005)
    assert without_service_s(tmp_path, load, 41) == pytest.approx(33, abs=0.02)


def test_a_full_disk_answers_and_serves_nothing(tmp_path):
    load = one_after_another(0, 1, 0.002) + one_after_another(1, 8, 0.001, REFUSED, pause_s=0.01)
    assert without_service_s(tmp_path, load, 8) == pytest.approx(7, abs=0.05)


@pytest.mark.parametrize("outcome", [UNKNOWN, TIMEOUT, Outcome.UNFINISHED])
def test_operations_that_are_never_answered_wait_until_the_window_ends(tmp_path, outcome):
    load = one_after_another(0, 3, 0.01) + stalled(3, 8, outcome=outcome)
    assert without_service_s(tmp_path, load, 8) == pytest.approx(5, abs=0.02)


def test_a_server_that_never_answered_was_never_there(tmp_path):
    load = one_after_another(0, 5, 0.001, REFUSED, pause_s=0.01)
    assert without_service_s(tmp_path, load, 5) == pytest.approx(5, abs=0.02)


def test_several_stalls_add_up_and_do_not_excuse_one_another(tmp_path):
    starts = [2, 6, 10]
    load = one_after_another(0, 2, 0.01)
    for from_s, next_s in pairwise([*starts, 14]):
        load += stalled(from_s, from_s + 2)
        load += one_after_another(from_s + 2.01, next_s, 0.01)
    assert without_service_s(tmp_path, load, 14) == pytest.approx(6, abs=0.1)


def test_operations_that_come_late_in_the_file_count_as_if_in_order(tmp_path):
    """Two processes: one is held up for five seconds, the other is served all the time."""
    first = one_after_another(0, 2, 0.01) + stalled(2, 7) + one_after_another(7.01, 9, 0.01)
    second = one_after_another(0, 9, 0.09)
    assert without_service_s(tmp_path, first + second, 9) == 0
    assert without_service_s(tmp_path, first, 9) == pytest.approx(5, abs=0.02)


def test_an_open_load_waits_from_the_intended_start_on(tmp_path):
    before = [(due, due + 0.01, OK) for due in range(10)]
    late = [(due, 20 + due / 1000, OK) for due in range(10, 20)]
    after = [(due, due + 0.01, OK) for due in range(21, 30)]
    found = without_service_s(tmp_path, before + late + after, 30, OPEN)
    assert found == pytest.approx(10, abs=0.02)


TIMES_S = np.random.default_rng(7).exponential(0.2, 3_000)
HEALTHY = {
    "a low rate: nobody waits in between": (
        [(due, due + 0.005, OK) for due in range(0, 60, 3)], 60, OPEN,
    ),
    "a client that waits long for its first turn": ([(5.0, 5.01, OK)], 10, OPEN),
    "200 ms an append, now and then a second and a half": (
        [*one_after_another(0, 10, 0.2), (10, 11.5, OK), *one_after_another(11.5, 20, 0.2)],
        20, CLOSED,
    ),
    "three seconds each": (one_after_another(0, 30, 3.0), 30, CLOSED),
    "one operation, which took long": ([(0, 33, OK)], 33, CLOSED),
    "a checkpoint's pause": (
        one_after_another(0, 3, 0.002) + stalled(3, 3.9) + one_after_another(3.91, 8, 0.002),
        8, CLOSED,
    ),
    "conflicts alone: the store answers": (one_after_another(0, 8, 0.01, CONFLICT), 8, CLOSED),
    "one client hangs, the others are served": (
        [(0, 8, UNKNOWN), *one_after_another(0, 8, 0.01)], 8, CLOSED,
    ),
    "exponential times of a slow store": (
        [(end - took, end, OK) for end, took in zip(np.cumsum(TIMES_S), TIMES_S, strict=True)],
        600, CLOSED,
    ),
    "nothing was offered": ([], 5, CLOSED),
}  # fmt: skip


@pytest.mark.parametrize("name", HEALTHY)
def test_slow_rare_and_short_are_no_outage(tmp_path, name):
    operations, length_s, load = HEALTHY[name]
    last_s = max((done for _, done, _ in operations), default=0.0)
    assert without_service_s(tmp_path, operations, max(length_s, last_s), load) == 0


def test_a_maximum_is_no_less_than_an_unanswered_operation_waited(tmp_path):
    load = [*one_after_another(0, 2, 0.01), (2, 6, UNKNOWN), (1, 7.5, DROPPED)]
    samples, _, _ = read(tmp_path, load, 8, OPEN)
    waits = samples.unanswered
    assert (waits.service_ns, waits.longest_ns, waits.response_ns) == (4 * S, 4 * S, 6.5 * S)
    values = samples.completions.service_ns.values
    assert Spread.of(values, waited_ns=waits.service_ns).max_ns == 4 * S
    assert Spread.of(values, waited_ns=5).max_ns == values.max()
    assert Spread.of(values[:0], waited_ns=5).max_ns == 5
