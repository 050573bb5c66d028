"""Races made up by hypothesis, kept rightly or spoilt in one place, as a check judges them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.conformance.batches import other_order
from harness.conformance.check import Broken, NotReached
from harness.conformance.judged import WHY, judge
from harness.conformance.log_order import began_before
from harness.conformance.racing import COLLISIONS_MIN, Attempt, enough_between, met
from harness.errors import OutcomeUnknown, WrongExpectedVersion
from harness.history import Kind
from harness.store import AppendResult, NewEvent, Position, RecordedEvent, StreamState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WON, REFUSED, UNKNOWN_KEPT, UNKNOWN_GONE = range(4)


@st.composite
def kept_rightly(draw):
    """Attempts on two streams, and the log that a faithful store would have of them."""
    attempts, log, heads = [], [], {"a": -1, "b": -1}
    ends = draw(st.lists(st.sampled_from([WON, REFUSED, UNKNOWN_KEPT, UNKNOWN_GONE]), max_size=12))
    for number, end in enumerate([WON, WON, *ends]):
        stream = draw(st.sampled_from("ab"))
        size = draw(st.integers(1, 3))
        batch = [NewEvent(UUID(int=number * 8 + n, version=4), "E", b"{}") for n in range(size)]
        if end in (WON, UNKNOWN_KEPT):
            for event in batch:
                heads[stream] += 1
                log.append(recorded(event.id, stream, heads[stream], len(log)))
        ended = {
            WON: AppendResult(heads[stream], None),
            REFUSED: WrongExpectedVersion(stream, 0, heads[stream]),
        }.get(end, OutcomeUnknown("no answer"))
        attempts.append(Attempt(f"racer {number}", stream, batch, StreamState.ANY, 0.0, 1.0, ended))
    return attempts, log


def recorded(event_id, stream, version, place):
    return RecordedEvent(event_id, stream, version, Position((place,)), "E", b"{}", b"", NOW)


@given(kept_rightly())
def test_a_race_that_was_kept_rightly_is_found_right(race):
    judge(*race, *Kind)


def gone(log):
    return [*log[:1], *log[2:]]


def twice(log):
    return [*log, replace(log[1], version=len(log))]


def strange(log):
    return [*log, recorded(UUID(int=1 << 100), log[0].stream, len(log), len(log))]


def gap(log):
    return [*log[:-1], replace(log[-1], version=log[-1].version + 5)]


def elsewhere(log):
    return [replace(event, stream="elsewhere") if event is log[1] else event for event in log]


def turned(log):
    return log[::-1]


SPOILT = {
    Kind.LOST: gone,
    Kind.DUPLICATED: twice,
    Kind.FOREIGN: strange,
    Kind.NOT_CONTIGUOUS: gap,
    Kind.MISPLACED: elsewhere,
    Kind.INVERTED: turned,
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_race_that_was_spoilt_is_told_with_its_append_and_what_was_read(kind):
    batches = [[NewEvent(UUID(int=n, version=4), "E", b"{}")] for n in range(4)]
    attempts = [
        Attempt(f"racer {n}", "a", batch, StreamState.ANY, 0.0, 1.0, AppendResult(n, None))
        for n, batch in enumerate(batches)
    ]
    log = [recorded(batch[0].id, "a", n, n) for n, batch in enumerate(batches)]
    judge(attempts, log, *Kind)
    with pytest.raises(Broken) as told:
        judge(attempts, SPOILT[kind](log), kind)
    assert WHY[kind] in str(told.value)
    steps = [str(step) for step in told.value.evidence]
    assert any("read" in step for step in steps)
    if kind is not Kind.FOREIGN:
        assert any("racer" in step for step in steps)


def answered(ended, *, expected=StreamState.ANY):
    """An append of two events that was answered so, and their ids."""
    batch = [NewEvent(UUID(int=n, version=4), "E", b"{}") for n in (7, 8)]
    return Attempt("racer", "a", batch, expected, 0.0, 1.0, ended), [each.id for each in batch]


@pytest.mark.parametrize(
    ("kind", "ended", "expected", "there"),
    [
        (Kind.WRITTEN_THOUGH_REFUSED, WrongExpectedVersion("a", 5, None), 5, [0, 1]),
        (Kind.TORN, OutcomeUnknown("no answer"), StreamState.ANY, [0]),
        (Kind.BATCH_BROKEN, AppendResult(0, None), StreamState.ANY, [1, 0]),
        (Kind.EXPECTED_VERSION_IGNORED, AppendResult(1, None), 5, [0, 1]),
    ],
)
def test_an_append_that_was_kept_otherwise_than_answered_is_told(kind, ended, expected, there):
    mine, ids = answered(ended, expected=expected)
    log = [
        recorded(event_id, "a", version, version)
        for event_id, version in zip(ids, there, strict=False)
    ]
    with pytest.raises(Broken) as told:
        judge([mine], log, kind)
    assert WHY[kind] in str(told.value)
    steps = [step.who for step in told.value.evidence]
    assert {"racer", "a reader"} <= set(steps)


def test_every_kind_that_a_check_may_ask_for_is_tried_here():
    refused = {Kind.WRITTEN_THOUGH_REFUSED, Kind.EXPECTED_VERSION_IGNORED}
    assert set(WHY) == {*SPOILT, *refused, Kind.TORN, Kind.BATCH_BROKEN}


def test_of_an_inversion_both_events_are_shown_as_they_were_read_and_who_appended_them():
    attempts = [
        Attempt(f"racer {n}", "a", [NewEvent(UUID(int=n, version=4), "E", b"{}")], StreamState.ANY,
                n / 10, n / 10 + 0.2, AppendResult(n, None))
        for n in range(3)
    ]  # fmt: skip
    log = [recorded(attempts[n].batch[0].id, "a", n, place) for place, n in enumerate((0, 2, 1))]
    with pytest.raises(Broken) as told:
        judge(attempts, log, Kind.INVERTED)
    *senders, first, second, _ = told.value.evidence
    assert [(step.who, step.at_ms) for step in senders] == [
        ("racer 1", pytest.approx(100)),
        ("racer 2", pytest.approx(200)),
    ]
    assert (first.did, second.did) == ("read 'a' version 2", "read 'a' version 1")
    assert str(attempts[2].batch[0].id) in first.result
    assert "position 1" in first.result
    assert str(attempts[1].batch[0].id) in second.result
    assert "position 2" in second.result


def test_of_a_batch_in_another_order_the_first_two_events_are_shown():
    ids = answered(AppendResult(1, None))[1]
    log = [recorded(ids[1], "a", 0, 0), recorded(ids[0], "a", 1, 1)]
    first, second = other_order(ids, log, "the stream")
    assert first.result == f"0: {ids[0]}, then 1: {ids[1]}"
    assert second.result == f"{ids[1]} at version 0, then {ids[0]} at version 1"
    assert other_order(ids, log[1:], "the log")[1].result == "no more of it"


def test_a_kind_that_was_not_asked_for_is_another_checks_business():
    batch = [NewEvent(UUID(int=0, version=4), "E", b"{}")]
    attempts = [
        Attempt("racer", "a", batch, StreamState.ANY, 0.0, 1.0, AppendResult(0, None)),
    ]
    judge(attempts, [], Kind.INVERTED, Kind.MISPLACED)


def between(first_s, length_s, *, every_s=1.0, by="process 0"):
    """Twelve appends of one process, one every so often."""
    return [
        Attempt(by, "a", [], StreamState.ANY, at, at + length_s, AppendResult(0, None))
        for at in (first_s + every_s * number for number in range(12))
    ]


def test_processes_that_took_turns_have_not_raced():
    apart = [between(0.0, 0.4), between(0.5, 0.4, by="process 1")]
    assert met(apart) == 0
    with pytest.raises(NotReached, match="appends met only 0 times between processes"):
        enough_between(apart)


def test_processes_whose_appends_overlap_have_raced():
    together = [between(0.0, 0.8), between(0.5, 0.8, by="process 1")]
    assert met(together) >= COLLISIONS_MIN
    enough_between(together)


def test_a_process_does_not_race_itself():
    assert met([between(0.0, 5.0)]) == 0


def test_processes_that_began_when_the_transaction_had_ended_prove_nothing():
    by_process = [between(0.0, 0.4), between(2.0, 0.4, by="process 1")]
    began_before(2.5, by_process)
    with pytest.raises(NotReached, match="1 processes had not begun"):
        began_before(1.5, by_process)


def test_a_line_of_evidence_says_when_and_for_how_long_since_the_race_began():
    first, second = (
        Attempt(name, "a", [NewEvent(UUID(int=n), "E", b"{}")], StreamState.ANY, began, began + 0.2,
                AppendResult(0, None))
        for n, (name, began) in enumerate([("early", 5.0), ("late", 5.05)])
    )  # fmt: skip
    step = second.step([first, second])
    assert step.at_ms == pytest.approx(50)
    assert step.result.endswith("acknowledged as version 0, after 200.0 ms")
