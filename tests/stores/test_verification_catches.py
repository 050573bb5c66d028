"""Verification catches a store that breaks one event in a thousand, in memory and on a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from harness.domain.store import Endpoint, EventStore
from harness.scenario.names import parse_store_name
from harness.stores import kinds
from harness.verification import Kind, declared

from ..corrupting import EVERY, FAULTS, Corrupting, is_victim
from .subject import Subject, fresh, opened
from .written import STREAMS, Load

EVENTS = 3 * EVERY

FOUND = {
    "drops": (Kind.LOST, Kind.NOT_CONTIGUOUS),
    "duplicates": (Kind.DUPLICATED, Kind.STREAM_READ_DIFFERS),
    "reorders": (Kind.POSITION_NOT_INCREASING, Kind.INVERTED, Kind.STREAM_READ_DIFFERS),
    "overwrites": (Kind.ALTERED,),
}
"""What each fault may be found as; the first once for every event that it hit."""
DELIVERED = {"drops": (Kind.SKIPPED, -1), "duplicates": (Kind.DELIVERED_TWICE, 1)}
"""What it is found as by a subscriber, and how many deliveries more an event hit means."""

OpenStore = Callable[[], AbstractAsyncContextManager[Subject]]


@pytest.fixture(params=["memory", "postgres", "postgres{payload=jsonb}"])
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """Opens a real store on a fresh namespace, to be wrapped."""
    name, _, explicit = parse_store_name(request.param)
    kind = kinds()[name]
    server = request.getfixturevalue("postgres_server") if kind.server else None
    endpoint = server.endpoint if server else Endpoint()
    return lambda: opened(kind.variants[""], kind.options(**explicit), fresh(endpoint))


@asynccontextmanager
async def loaded(open_store: OpenStore) -> AsyncIterator[tuple[Subject, Load]]:
    """A store with a load behind it."""
    async with open_store() as subject:
        load = Load(subject.store)
        await load.run(events=EVENTS)
        yield subject, load


async def hits(store: EventStore, fault: str) -> int:
    """How many events the fault hits."""
    events = [event async for event in store.read_all()]
    if fault == "reorders":
        events.pop()  # nothing comes behind the last one
    return sum(map(is_victim, events))


async def test_a_store_without_fault_passes(open_store: OpenStore):
    async with loaded(open_store) as (subject, load):
        deliveries = await load.deliveries(load.sent)
        verification = await load.verification(subject.declared, deliveries=deliveries)
    assert verification.violations == ()
    assert verification.ok
    assert verification.events_read == load.sent
    assert verification.streams_read == verification.streams_total == len(STREAMS)


@pytest.mark.parametrize("fault", FAULTS)
async def test_one_broken_event_in_a_thousand_is_caught(open_store: OpenStore, fault: str):
    async with loaded(open_store) as (subject, load):
        hit = await hits(subject.store, fault)
        load.store = Corrupting(subject.store, fault)
        verification = await load.verification(subject.declared)
    assert hit >= 2
    assert verification.counts[FOUND[fault][0]] == hit
    assert verification.counts.keys() <= {*FOUND[fault]}
    assert all(declared(kind, subject.declared) for kind in verification.counts)


@pytest.mark.parametrize("fault", DELIVERED)
async def test_one_broken_delivery_in_a_thousand_is_caught(open_store: OpenStore, fault: str):
    kind, more = DELIVERED[fault]
    async with loaded(open_store) as (subject, load):
        hit = await hits(subject.store, fault)
        load.store = Corrupting(subject.store, fault)
        deliveries = await load.deliveries(load.sent + more * hit)
        load.store = subject.store
        verification = await load.verification(subject.declared, deliveries=deliveries)
    assert verification.counts == {kind: hit}
