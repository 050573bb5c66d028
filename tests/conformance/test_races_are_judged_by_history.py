"""Races made up by hypothesis, kept rightly or spoilt in one place, as a check judges them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.conformance.check import Broken, NotReached
from harness.conformance.judged import WHY, judge
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


@pytest.mark.parametrize("kind", WHY)
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


def test_a_line_of_evidence_says_when_and_for_how_long_since_the_race_began():
    first, second = (
        Attempt(name, "a", [NewEvent(UUID(int=n), "E", b"{}")], StreamState.ANY, began, began + 0.2,
                AppendResult(0, None))
        for n, (name, began) in enumerate([("early", 5.0), ("late", 5.05)])
    )  # fmt: skip
    step = second.step([first, second])
    assert step.at_ms == pytest.approx(50)
    assert step.result.endswith("acknowledged as version 0, after 200.0 ms")
