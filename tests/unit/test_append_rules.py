"""What an append comes to, by the head, the ids that are known and what it expects."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from harness.domain import expected_version
from harness.domain.errors import EmptyAppend, EventIdReused, WrongExpectedVersion
from harness.domain.expected_version import code_of, from_code, holds, spelled
from harness.domain.store import NewEvent, Position, RecordedEvent, StreamState
from harness.stores._shared.append_rules import decide

ANY, NO_STREAM, EXISTS = StreamState.ANY, StreamState.NO_STREAM, StreamState.EXISTS
EVENTS = [NewEvent(UUID(int=number), "Placed", b"{}", b"m") for number in range(3)]
NEW = [None, None, None]


def recorded(event, version, stream="order-1"):
    now = datetime.now(UTC)
    place = Position((version,))
    return RecordedEvent(
        event.id, stream, version, place, event.type, event.data, event.metadata, now
    )


RECORDED = [recorded(event, version) for version, event in enumerate(EVENTS, 4)]


@pytest.mark.parametrize(
    ("head", "expected"), [(None, ANY), (7, ANY), (None, NO_STREAM), (7, EXISTS), (7, 7)]
)
def test_an_append_whose_expectation_holds_is_written(head, expected):
    assert holds(expected, head)
    assert decide("order-1", EVENTS, expected, head=head, known=NEW) is None


@pytest.mark.parametrize(
    ("head", "expected"), [(7, NO_STREAM), (None, EXISTS), (None, 0), (7, 6), (7, 8)]
)
def test_an_append_whose_expectation_does_not_hold_is_a_conflict(head, expected):
    with pytest.raises(WrongExpectedVersion) as conflict:
        decide("order-1", EVENTS, expected, head=head, known=NEW)
    assert conflict.value.actual == head


@pytest.mark.parametrize("expected", [ANY, NO_STREAM, EXISTS, 0, 99])
def test_an_exact_retry_gets_the_original_result_whatever_it_expects(expected):
    assert decide("order-1", EVENTS, expected, head=20, known=RECORDED) is RECORDED[-1]


@pytest.mark.parametrize(
    "known",
    [
        [RECORDED[0], None, None],
        [None, *RECORDED[1:]],
        [recorded(event, version, "order-2") for version, event in enumerate(EVENTS, 4)],
        [RECORDED[0], replace(RECORDED[1], version=9), RECORDED[2]],
        [replace(RECORDED[0], type="Paid"), *RECORDED[1:]],
        [replace(RECORDED[0], data=b""), *RECORDED[1:]],
        [replace(RECORDED[0], metadata=b""), *RECORDED[1:]],
    ],
    ids=["first", "rest", "stream", "order", "type", "data", "metadata"],
)
def test_ids_with_another_place_order_or_content_are_refused(known):
    with pytest.raises(EventIdReused):
        decide("order-1", EVENTS, ANY, head=20, known=known)


def test_an_id_twice_in_one_append_is_refused():
    with pytest.raises(EventIdReused, match="twice"):
        decide("order-1", [EVENTS[0], EVENTS[0]], ANY, head=None, known=[None, None])


def test_an_append_of_nothing_is_refused():
    with pytest.raises(EmptyAppend):
        decide("order-1", [], ANY, head=None, known=[])


@pytest.mark.parametrize("expected", [*StreamState, 0, 1, 2**40])
def test_an_expected_version_is_its_code_and_back(expected):
    assert from_code(code_of(expected)) == expected


def test_codes_of_expected_versions_are_those_of_stored_runs():
    codes = {state.name: code for state, code in expected_version.CODES.items()}
    assert codes == {"ANY": -1, "NO_STREAM": -2, "EXISTS": -3}
    assert (spelled(NO_STREAM), spelled(7)) == ("NO_STREAM", "7")


def test_a_negative_version_has_no_code():
    with pytest.raises(ValueError, match="count from 0"):
        code_of(-1)
