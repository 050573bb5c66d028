"""What clients saw of a fault: each number of faults.parquet, from operations made by hand."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from harness.domain.faults import Fault, FaultKind
from harness.domain.outcome import Outcome
from harness.load.column_buffer import SAMPLE_COLUMNS
from harness.load.loops import Window
from harness.load.recording_store import APPEND_COLUMNS
from harness.load.trial_files import TrialFiles
from harness.run import fault_sightings
from harness.run.fault_sightings import (
    Acknowledged,
    Delivered,
    Losses,
    Operations,
    Stretch,
    oldest_lost_s,
    seen,
    stretches,
    under_way,
)
from harness.run.faults import Occurrence

S = 1_000_000_000
WINDOW = Window(0, 20 * S, 0)
KILL = Stretch(began_ns=5 * S, ended_ns=6 * S, until_ns=15 * S, before_ns=0, over_ns=20 * S)


def operations(*rows, outcome=Outcome.OK):
    """Rows of (intended, done) in seconds, or (intended, done, outcome)."""
    filled = [row if len(row) > 2 else (*row, outcome) for row in rows]
    intended, done, outcomes = zip(*filled, strict=True) if filled else ((), (), ())
    return Operations(
        outcome=np.array([int(each) for each in outcomes], np.int64),
        intended_ns=np.array([round(each * S) for each in intended], np.int64),
        done_ns=np.array([round(each * S) for each in done], np.int64),
    )


def steady(from_s: float, to_s: float, per_s: int):
    return [(from_s + n / per_s, from_s + n / per_s) for n in range(round((to_s - from_s) * per_s))]


def test_outcomes_are_counted_from_the_begin_to_the_next_fault():
    rows = [(4, 4.9, Outcome.REFUSED), (5, 5.1, Outcome.REFUSED), (5, 14.9, Outcome.UNKNOWN),
            (6, 15, Outcome.UNKNOWN), (7, 8, Outcome.CONFLICT)]  # fmt: skip
    row = seen(operations(*rows), KILL, is_open=False)
    assert (row["refused"], row["unknown"], row["conflict"], row["timeout"]) == (1, 1, 1, 0)


def test_silence_is_the_longest_time_without_an_acknowledgement():
    rows = [*steady(0, 5, 10), (6, 5.5, Outcome.REFUSED), (6, 8.5), (6, 9), (16, 16), (19, 19)]
    row = seen(operations(*rows), KILL, is_open=False)
    assert row["silent_s"] == 6  # from 9 s to the next fault at 15 s
    assert row["first_ok_s"] == 2.5


def test_a_silence_that_the_fault_began_goes_on_beyond_the_next_fault():
    row = seen(operations(*steady(0, 5, 10), (5, 5.5), (17, 17), (19, 19)), KILL, is_open=False)
    assert row["silent_s"] == 11.5
    assert row["first_ok_s"] == 11


def test_a_store_that_never_came_back_has_no_time_of_coming_back():
    row = seen(operations(*steady(0, 5, 10)), KILL, is_open=False)
    assert row["silent_s"] == 15
    assert row["first_ok_s"] is None
    assert row["restored_s"] is None


def test_the_rate_is_back_when_a_second_has_nine_tenths_of_the_rate_before():
    slow_then_full = [*steady(0, 5, 100), *steady(7, 9, 50), *steady(9, 15, 95)]
    row = seen(operations(*slow_then_full), KILL, is_open=False)
    assert row["first_ok_s"] == 1
    assert row["restored_s"] == pytest.approx(2.9, abs=0.2)


def test_the_rate_before_needs_a_second_to_be_known():
    crowded = Stretch(5 * S, 6 * S, 15 * S, before_ns=round(4.5 * S), over_ns=20 * S)
    assert seen(operations(*steady(0, 15, 100)), crowded, is_open=False)["restored_s"] is None


def test_response_times_are_those_of_the_operations_due_in_it_and_after_it():
    during = [(5 + n / 1000, 5 + n / 1000 + 0.5) for n in range(1000)]
    after = [(6 + n / 1000, 6 + n / 1000 + 0.002) for n in range(1000)]
    row = seen(operations(*during, *after), KILL, is_open=True)
    assert (row["due_during"], row["failed_during"], row["due_after"]) == (1000, 0, 1000)
    assert row["response_p99_during_ns"] == pytest.approx(0.5 * S)
    assert row["response_p99_after_ns"] == pytest.approx(0.002 * S)


def test_a_percentile_with_too_few_beyond_or_among_the_failed_is_empty():
    few = seen(operations(*[(5.5, 5.6)] * 999), KILL, is_open=True)
    assert few["response_p99_during_ns"] is None
    failed = [(5.5, 5.6, Outcome.UNKNOWN)] * 20
    many = seen(operations(*[(5.5, 5.6)] * 980, *failed), KILL, is_open=True)
    assert many["response_p99_during_ns"] is None
    assert many["failed_during"] == 20


def test_a_failed_operation_shifts_the_percentile_as_one_slower_than_all():
    answered = [(5.5, 5.5 + n / 10_000) for n in range(1, 1996)]
    failed = [(5.5, 5.6, Outcome.UNKNOWN)] * 5
    row = seen(operations(*answered, *failed), KILL, is_open=True)
    assert row["response_p99_during_ns"] == pytest.approx(0.198 * S)  # the 1,980th of 2,000


def test_the_backlog_is_what_is_due_and_not_ended_and_drains_to_what_it_was():
    waiting = [(5 + n / 10, 7 + n / 10) for n in range(10)]
    row = seen(operations(*steady(0, 5, 10), *waiting, *steady(8, 15, 10)), KILL, is_open=True)
    assert row["backlog_max"] == 10
    assert row["drained_s"] == pytest.approx(1.8)  # at 7.8 s one is left, as before


def test_a_closed_loop_has_neither_response_times_nor_a_backlog():
    row = seen(operations(*steady(0, 15, 10)), KILL, is_open=False)
    assert not {"backlog_max", "drained_s", "due_during", "response_p99_after_ns"} & row.keys()


def test_a_stretch_ends_with_the_next_fault_and_looks_back_to_the_end_of_the_last():
    kill = Occurrence(Fault(FaultKind.KILL_SERVER, 2, 1), began_ns=2 * S, ended_ns=3 * S,
                      back_ns=4 * S)  # fmt: skip
    never = Occurrence(Fault(FaultKind.FILL_DISK, 5, 1), why_not="no right to mount")
    pause = Occurrence(Fault(FaultKind.PAUSE_SERVER, 9, 1), began_ns=9 * S, ended_ns=10 * S,
                       back_ns=10 * S)  # fmt: skip
    assert stretches([kill, never, pause], WINDOW) == {
        0: Stretch(2 * S, 3 * S, 9 * S, 0, 20 * S),
        2: Stretch(9 * S, 10 * S, 20 * S, 4 * S, 20 * S),
    }


@pytest.mark.parametrize("seed", range(30))
def test_what_is_kept_of_a_stretch_tells_of_it_what_all_operations_do(seed):
    rng = Random(seed)
    rows = []
    for _ in range(rng.randrange(1, 400)):
        due = rng.uniform(0, 20)
        outcome = Outcome.OK if rng.random() < 0.7 else rng.choice([*Outcome][:7])
        took = rng.choice((0.001, 0.05, 3.0)) * rng.random()
        early = outcome is Outcome.UNFINISHED and rng.random() < 0.5  # left over, and never due
        rows.append((due, due - took if early else due + took, outcome))
    everything = operations(*rows)
    began = sorted(rng.sample(range(1, 20), 3))
    for stretch in (
        Stretch(began[0] * S, began[1] * S, began[2] * S, max(0, began[0] - 5) * S, 20 * S),
        Stretch(began[1] * S, began[1] * S, 20 * S, began[0] * S, 20 * S),
    ):
        halves = operations(*rows[::2]).near(stretch), operations(*rows[1::2]).near(stretch)
        kept = Operations(
            *(np.concatenate([getattr(half, name) for half in halves])
              for name in ("outcome", "intended_ns", "done_ns"))
        )  # fmt: skip
        for is_open in (True, False):
            assert seen(kept, stretch, is_open=is_open) == seen(
                everything, stretch, is_open=is_open
            )


def test_subscribers_are_seen_by_their_longest_gap_and_by_what_came_again():
    times = np.array([4.0, 5.5, 9.0, 9.5, 14.9, 5.2])
    delivered = Delivered(
        subscriber=np.array([0, 0, 0, 0, 0, 1]),
        event=np.array([1, 2, 2, 3, 1, 1]),
        handled_ns=np.round(times * S).astype(np.int64),
    )
    row = fault_sightings._delivery(delivered, KILL)
    assert row == {"delivery_gap_s": pytest.approx(9.8), "delivered_again": 2}


def losses(acknowledged_s: list[float], lost: list[int], *occurrences):
    number = np.arange(len(acknowledged_s))
    at_ns = np.array([round(each * S) for each in acknowledged_s], np.int64)
    known = Acknowledged(number, number, np.zeros_like(number), at_ns)
    return Losses.of(lost, known, occurrences, WINDOW)


def crash(kind: FaultKind, at_s: int) -> Occurrence:
    return Occurrence(Fault(kind, at_s, 1), began_ns=at_s * S, ended_ns=(at_s + 1) * S,
                      back_ns=(at_s + 2) * S)  # fmt: skip


def test_a_lost_event_is_blamed_on_the_first_crash_after_its_acknowledgement():
    kill, power = crash(FaultKind.KILL_SERVER, 5), crash(FaultKind.LOSE_POWER, 12)
    cut = crash(FaultKind.CUT_NETWORK, 9)
    found = losses([1, 4.9, 8.5, 11.9, 11.95], [1, 3, 4], kill, cut, power)
    assert [found.of_fault(number)["lost"] for number in range(3)] == [1, 0, 2]
    assert found.of_fault(0)["evidence"] == (
        "client 0, operation 1: acknowledged at 4.900 s, not in the log after kill server at 5 s"
        " for 1 s"
    )


def test_a_lost_event_is_as_old_as_it_was_when_the_first_crash_could_take_it(tmp_path):
    files = TrialFiles(tmp_path / "samples.parquet", tmp_path / "appends.parquet", tmp_path / "d")
    sinks = files.sinks(deliveries=False)
    samples, appends = [], []
    for number, at_s in enumerate((4.0, 4.5, 6.0, 11.0)):  # events 0-1, 10-11, 20-21, 30-31
        row = dict.fromkeys(SAMPLE_COLUMNS, 0)
        row |= {"done_ns": round(at_s * S), "first": 10 * number, "count": 2}
        samples.append([row[name] for name in SAMPLE_COLUMNS])
    for outcome, at_s in ((Outcome.UNKNOWN, 1.0), (Outcome.FOUND, 4.2)):  # of event 40
        row = dict.fromkeys(APPEND_COLUMNS, 0)
        row |= {"ended_ns": round(at_s * S), "first": 40, "count": 1, "outcome": int(outcome)}
        appends.append([row[name] for name in APPEND_COLUMNS])
    sinks.samples.write(np.array(samples, np.int64))
    sinks.appends.write(np.array(appends, np.int64))
    sinks.samples.close()
    sinks.appends.close()

    crashes = [crash(FaultKind.KILL_SERVER, 5), crash(FaultKind.CUT_NETWORK, 9),
               crash(FaultKind.LOSE_POWER, 12)]  # fmt: skip

    def oldest_s(*lost):
        return oldest_lost_s(lost, files, crashes)

    assert oldest_s(11) == 0.5
    assert oldest_s(40, 11) == pytest.approx(0.8)
    assert oldest_s(11, 1) == 1
    assert oldest_s(20) == 0  # acknowledged while the first one was being taken back
    assert oldest_s(30, 99) == 1
    assert oldest_s() == 0
    assert oldest_lost_s([1], files, crashes[1:2]) == 0

    known = Acknowledged.of([11, 40, 99], files)
    assert (known.row_of(11), known.row_of(40), known.row_of(99), known.row_of(12)) == (
        0, 1, None, None,
    )  # fmt: skip
    assert known.worker.tolist() == [0, -1, -1]
    assert "operation 0: acknowledged at 4.200 s" in known.sentence(1, crashes[0], WINDOW)
    of_the_second = Stretch(12 * S, 13 * S, 20 * S, before_ns=7 * S, over_ns=20 * S)
    assert Operations.read(files, of_the_second).done_ns.tolist() == [11 * S]


def test_without_a_crash_the_fault_under_way_is_blamed():
    found = losses([1, 8.5], [1], crash(FaultKind.CUT_NETWORK, 8))
    assert found.of_fault(0)["lost"] == 1


def test_a_second_names_the_faults_under_way_in_it():
    kill, pause = crash(FaultKind.KILL_SERVER, 5), crash(FaultKind.PAUSE_SERVER, 6)
    words = [under_way([kill, pause], second * S, (second + 1) * S) for second in (4, 5, 6, 7, 8)]
    assert words == ["", "kill server", "kill server, pause server", "pause server", ""]
