"""The workload `append` with exact versions: what it expects, and what failures show it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from uuid import uuid4

import pytest

from harness.domain.errors import OutcomeUnknown, StreamNotFound, WrongExpectedVersion
from harness.domain.flags import FlagCode
from harness.domain.store import AppendResult, NewEvent, Position, RecordedEvent, StreamState
from harness.stores.kafka import STORE as KAFKA
from harness.stores.memory.store import GUARANTEES
from harness.stores.null import GUARANTEES as OF_NULL
from harness.workloads.append import AppendAny, AppendExact, AppendParameters, fitted, make

NO_STREAM = StreamState.NO_STREAM
EXACT = AppendParameters(expected="exact")


class Streams:
    """A store of one stream that notes what appends expect and how often it is read."""

    def __init__(self, head=None):
        self.head, self.expected, self.reads, self.fails = head, [], 0, None
        self.returns_actual = True

    async def append(self, stream, events, *, expected):
        self.expected.append(expected)
        if self.fails:
            fails, self.fails = self.fails, None
            self.head = -1 if self.head is None else self.head
            self.head += len(events)
            raise fails
        if expected != (NO_STREAM if self.head is None else self.head):
            raise WrongExpectedVersion(stream, expected, self.head if self.returns_actual else None)
        self.head = (-1 if self.head is None else self.head) + len(events)
        return AppendResult(self.head, None)

    async def read_stream(self, stream, *, start=0, limit=None, backwards=False):
        assert (limit, backwards) == (1, True)
        self.reads += 1
        if self.head is None:
            raise StreamNotFound(stream)
        yield last_event(self.head)

    async def read_all(self):
        if self.head is not None:
            yield last_event(self.head)


def last_event(version):
    now = datetime.now(UTC)
    return RecordedEvent(uuid4(), "order-1", version, Position((0,)), "Placed", b"{}", b"", now)


class Cycle:
    def choose_stream(self, rng):
        return "order-1"

    def new_events(self, count):
        return [NewEvent(uuid4(), "Placed", b"{}") for _ in range(count)]


async def operation(workload, store):
    await workload.run(store, Cycle(), Random(1))


async def test_each_append_expects_the_version_that_the_last_one_returned():
    store, workload = Streams(), make(EXACT.model_copy(update={"batch_size": 2}))
    for _ in range(3):
        await operation(workload, store)
    assert store.expected == [NO_STREAM, 1, 3]
    assert store.reads == 0


async def test_prefilled_streams_are_known():
    store, workload = Streams(head=49), make(EXACT)
    await workload.prepare(store)
    await operation(workload, store)
    assert store.expected == [49]


async def test_a_conflict_shows_the_head_without_a_read():
    store, workload = Streams(head=7), make(EXACT)
    with pytest.raises(WrongExpectedVersion):
        await operation(workload, store)
    await operation(workload, store)
    assert (store.expected, store.reads) == ([NO_STREAM, 7], 0)


async def test_a_conflict_of_a_store_that_does_not_return_the_head_is_followed_by_a_read():
    store, workload = Streams(head=7), make(EXACT)
    store.returns_actual = False
    with pytest.raises(WrongExpectedVersion):
        await operation(workload, store)
    await operation(workload, store)
    await operation(workload, store)
    assert (store.expected, store.reads) == ([NO_STREAM, 7, 8], 1)


async def test_an_append_of_unknown_outcome_does_not_make_every_later_one_a_conflict():
    store, workload = Streams(), make(EXACT)
    await operation(workload, store)
    store.fails = OutcomeUnknown("no answer")
    with pytest.raises(OutcomeUnknown):
        await operation(workload, store)
    await operation(workload, store)
    assert store.expected == [NO_STREAM, 0, 1]


async def test_a_late_conflict_does_not_replace_what_another_client_has_learnt():
    workload = make(EXACT)
    workload._heads["order-1"] = 9
    workload._correct("order-1", 8, 8)
    assert workload._heads["order-1"] == 9


def test_a_store_without_versions_appends_at_any_with_a_flag():
    for guarantees in (KAFKA.variants[""].declares(KAFKA.options()), OF_NULL):
        parameters, (flag,) = fitted(EXACT.model_copy(update={"batch_size": 3}), guarantees)
        assert flag.code is FlagCode.WITHOUT_VERSIONS
        assert parameters == AppendParameters(batch_size=3, expected="any")
        assert isinstance(make(parameters), AppendAny)


def test_a_store_with_versions_does_what_the_scenario_says():
    single_writer = KAFKA.variants["single-writer"].declares(KAFKA.options())
    for guarantees in (GUARANTEES, single_writer, replace(GUARANTEES, occ="none")):
        assert fitted(EXACT, guarantees) == (EXACT, ())
    assert isinstance(make(EXACT), AppendExact)
    unversioned = replace(GUARANTEES, tells_version=False)
    assert fitted(AppendParameters(), unversioned) == (AppendParameters(), ())
