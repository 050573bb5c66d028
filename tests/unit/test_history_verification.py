"""What verification says and counts, and the cases that properties do not single out."""

from __future__ import annotations

from random import Random
from uuid import uuid4

import numpy as np
import pytest

from harness.domain.expected_version import ANY
from harness.domain.identity import event_id
from harness.domain.outcome import Outcome
from harness.domain.store import Endpoint, NewEvent, StreamState
from harness.stores.memory.store import GUARANTEES, MemoryOptions, MemoryStore
from harness.verification import Appends, Deliveries, Kind, Verification, verify
from harness.verification.violations import KEPT_A_KIND

from .history.told import BASE, NAMES, Attempt, Row, Told


def acknowledged(count: int, *, stream: int = 0) -> Told:
    """One append of so many events, in the log."""
    told = Told([Attempt(7, stream, 0, count, ANY, count - 1, Outcome.OK)])
    told.append(stream, range(count))
    return told


async def verified(names: list[str], *, streams_max: int) -> Verification:
    """A memory store with one event in each stream, verified."""
    store = await MemoryStore.connect(Endpoint(namespace=uuid4().hex), MemoryOptions())
    await store.setup()
    for number, name in enumerate(names):
        event = NewEvent(event_id(BASE, number), "Counted", b"")
        await store.append(name, [event], expected=StreamState.NO_STREAM)
    rows = [(n, n, n, 1, -2, 0, Outcome.OK) for n in range(len(names))]
    verification = await verify(
        store,
        appends=[Appends(*np.array(rows, np.int64).T)],
        deliveries=None,
        streams=[*names, "never used"],
        base=BASE,
        data_of=lambda _: b"",
        guarantees=GUARANTEES,
        streams_max=streams_max,
        rng=Random(0),
    )
    await store.teardown()
    return verification


def test_a_violation_is_one_line_with_stream_version_and_event():
    told = acknowledged(3)
    told.log.pop()
    (violation,) = told.verification().violations
    assert str(violation) == (
        f"lost: stream 'order-0' version 2 event {event_id(BASE, 2)}: "
        "acknowledged (operation 7), not in the log"
    )


def test_what_nobody_knows_is_called_unknown():
    told = acknowledged(1)
    told.attempts[0].version = -1
    told.log[0].event = -1
    lost, foreign = told.verification().violations
    assert f"version unknown event {event_id(BASE, 0)}" in str(lost)
    assert "version 0 event unknown" in str(foreign)


def test_counts_stay_exact_where_the_list_is_cut():
    told = acknowledged(500)
    told.log = told.log[:100]
    told.log[50].intact = False
    verification = told.verification()
    assert verification.counts == {Kind.LOST: 400, Kind.ALTERED: 1}
    kinds = [violation.kind for violation in verification.violations]
    assert kinds == [Kind.LOST] * KEPT_A_KIND + [Kind.ALTERED]


def test_a_torn_append_counts_neither_as_written_nor_as_lost():
    told = acknowledged(3)
    told.attempts[0].outcome, told.attempts[0].version = Outcome.UNKNOWN, -1
    told.log.pop()
    verification = told.verification()
    assert verification.counts == {Kind.TORN: 1}
    assert verification.unknown_written == verification.unknown_lost == 0
    assert "2 of 3 events are there" in str(verification.violations[0])


def test_two_acknowledged_appends_with_one_expected_version_are_a_lost_update():
    told = Told(
        [
            Attempt(0, 0, 0, 1, -2, 0, Outcome.OK),
            Attempt(1, 0, 1, 1, 0, 1, Outcome.OK),
            Attempt(2, 0, 2, 1, 0, 2, Outcome.OK),
        ]
    )
    told.append(0, range(3))
    (violation,) = told.verification().violations
    assert violation.kind is Kind.EXPECTED_VERSION_IGNORED
    assert (violation.version, violation.event_id) == (2, event_id(BASE, 2))


def test_an_append_of_unknown_outcome_that_lands_between_the_reads_is_no_difference():
    told = acknowledged(2)
    told.attempts.append(Attempt(8, 0, 2, 1, ANY, -1, Outcome.UNKNOWN))
    told.reads = {0: [*told.log, Row(0, 2, 2, 2)]}
    verification = told.verification()
    assert verification.ok
    assert verification.unknown_lost == 1


def in_doubt(*outcomes: Outcome, written: int) -> Told:
    """The same event sent with these outcomes, one after another, and so often in the log."""
    attempts = [Attempt(op, 0, 0, 1, ANY, -1, each) for op, each in enumerate(outcomes)]
    told = Told(attempts)
    told.append(0, [0] * written)
    return told


UNKNOWN, OK, FOUND, CONFLICT = Outcome.UNKNOWN, Outcome.OK, Outcome.FOUND, Outcome.CONFLICT


@pytest.mark.parametrize(
    ("outcomes", "unknown_written"),
    [
        ((UNKNOWN, OK), 0),
        ((UNKNOWN, FOUND), 0),
        ((UNKNOWN, UNKNOWN, OK), 0),
        ((UNKNOWN, CONFLICT, FOUND), 0),
        ((UNKNOWN, Outcome.REFUSED, OK), 0),
        ((Outcome.REFUSED, OK), 0),
        ((UNKNOWN, CONFLICT), 1),
    ],
)
def test_what_is_sent_again_and_written_once_is_in_order(outcomes, unknown_written):
    verification = in_doubt(*outcomes, written=1).verification()
    assert verification.ok
    assert (verification.unknown_written, verification.unknown_lost) == (unknown_written, 0)


@pytest.mark.parametrize(
    ("outcomes", "kind"),
    [
        ((UNKNOWN, OK), Kind.RETRY_DUPLICATED),
        ((UNKNOWN, UNKNOWN, FOUND), Kind.RETRY_DUPLICATED),
        ((UNKNOWN, FOUND), Kind.DUPLICATED),
        ((CONFLICT, OK), Kind.DUPLICATED),
        ((UNKNOWN, CONFLICT, FOUND), Kind.DUPLICATED),
    ],
)
def test_a_copy_is_the_clients_choice_only_where_two_attempts_may_have_written(outcomes, kind):
    assert in_doubt(*outcomes, written=2).verification().counts == {kind: 1}


@pytest.mark.parametrize(
    ("outcome", "words"), [(OK, "acknowledged (operation 1)"), (FOUND, "found by reading (op")]
)
def test_what_was_known_in_the_end_is_lost_if_it_is_not_there(outcome, words):
    (violation,) = in_doubt(UNKNOWN, outcome, written=0).verification().violations
    assert violation.kind is Kind.LOST
    assert words in violation.detail


def test_what_is_found_elsewhere_than_it_was_read_is_misplaced():
    told = in_doubt(UNKNOWN, FOUND, written=1)
    told.attempts[1].version = 3
    (violation,) = told.verification().violations
    assert violation.kind is Kind.MISPLACED
    assert "found by reading at version 3" in violation.detail


def test_a_stream_read_that_gives_events_again_differs():
    told = acknowledged(2)
    told.reads = {0: [*told.log, *told.log]}
    (violation,) = told.verification().violations
    assert violation.kind is Kind.STREAM_READ_DIFFERS
    assert "the stream read gives 4 events, the global read 2" in violation.detail


def test_two_events_at_one_version_are_not_contiguous():
    told = acknowledged(2)
    told.attempts.append(Attempt(8, 0, 2, 1, ANY, 1, Outcome.OK))
    told.log.append(Row(0, 1, 2, 2))
    (violation,) = told.verification().violations
    assert violation.kind is Kind.NOT_CONTIGUOUS
    assert violation.detail == "expected version 2"


def test_a_version_beyond_all_reason_is_reported_and_not_stumbled_over():
    told = acknowledged(2)
    told.log[1].version = (1 << 62) + 5
    assert told.verification().counts.keys() == {
        Kind.NOT_CONTIGUOUS,
        Kind.BATCH_BROKEN,
        Kind.MISPLACED,
    }


@pytest.mark.parametrize(
    ("global_order", "found"),
    [
        ("total", {Kind.INVERTED: 1, Kind.POSITION_NOT_INCREASING: 1}),
        ("per-partition", {Kind.INVERTED: 1}),
        ("none", {}),
    ],
)
def test_order_is_judged_as_far_as_it_is_declared(global_order: str, found: dict[Kind, int]):
    told = acknowledged(2)
    told.log.reverse()
    assert told.verification(global_order=global_order).counts == found


def test_a_subscriber_without_a_row_was_there_all_the_same():
    told = acknowledged(2)
    told.handed, told.subscribers = [], 2
    assert told.verification().counts == {Kind.SKIPPED: 4}


def test_a_foreign_event_is_a_delivery_like_any_other():
    told = Told(subscribers=1)
    told.append(0, [-1])
    told.handed = []
    assert told.verification().counts == {Kind.FOREIGN: 1, Kind.SKIPPED: 1}


def test_nothing_sent_and_nothing_read_is_in_order():
    assert Told(handed=[], subscribers=1).verification().ok


def test_everything_lost_is_everything_named():
    told = acknowledged(3)
    told.log.clear()
    told.reads = {number: [] for number in NAMES}
    assert told.verification().counts == {Kind.LOST: 3}


async def test_streams_in_use_are_counted_and_at_most_so_many_read():
    names = [f"order-{number}" for number in range(20)]
    verification = await verified(names, streams_max=5)
    assert verification.ok
    assert (verification.streams_read, verification.streams_total) == (5, 20)
    assert verification.events_read == 20
    assert (await verified(names, streams_max=100)).streams_read == 20


def test_columns_of_different_lengths_are_refused():
    one, two = np.zeros(1, np.int64), np.zeros(2, np.int64)
    with pytest.raises(ValueError, match="different lengths"):
        Deliveries(one, one, two, one)
