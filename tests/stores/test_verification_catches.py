"""Verification catches a store that breaks one event in a thousand, in memory and on a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from harness.domain.store import Endpoint, EventStore
from harness.scenario.names import parse_store_name
from harness.servers import Server
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


@pytest.fixture(scope="module", params=["memory", "postgres", "postgres{payload=jsonb}"])
def loaded(
    request: pytest.FixtureRequest, runner: asyncio.Runner, servers: Callable[[str], Server]
) -> Iterator[tuple[Subject, Load]]:
    """A real store with a load behind it, to be wrapped."""
    name, _, explicit = parse_store_name(request.param)
    kind = kinds()[name]
    endpoint = servers(kind.server).endpoint if kind.server else Endpoint()
    opening = opened(kind.variants[""], kind.options(**explicit), fresh(endpoint))
    subject = runner.run(opening.__aenter__())
    load = Load(subject.store)
    runner.run(load.run(events=EVENTS))
    yield subject, load
    runner.run(opening.__aexit__(None, None, None))


async def hits(store: EventStore, fault: str) -> int:
    """How many events the fault hits."""
    events = [event async for event in store.read_all()]
    if fault == "reorders":
        events.pop()  # nothing comes behind the last one
    return sum(map(is_victim, events))


async def test_a_store_without_fault_passes(loaded: tuple[Subject, Load]):
    subject, load = loaded
    deliveries = await load.deliveries(load.sent)
    verification = await load.verification(subject.declared, deliveries=deliveries)
    assert verification.violations == ()
    assert verification.ok
    assert verification.events_read == load.sent
    assert verification.streams_read == verification.streams_total == len(STREAMS)


@pytest.mark.parametrize("fault", FAULTS)
async def test_one_broken_event_in_a_thousand_is_caught(loaded: tuple[Subject, Load], fault: str):
    subject, load = loaded
    hit = await hits(subject.store, fault)
    broken = replace(load, store=Corrupting(subject.store, fault))
    verification = await broken.verification(subject.declared)
    assert hit >= 2
    assert verification.counts[FOUND[fault][0]] == hit
    assert verification.counts.keys() <= {*FOUND[fault]}
    assert all(declared(kind, subject.declared) for kind in verification.counts)


@pytest.mark.parametrize("fault", DELIVERED)
async def test_one_broken_delivery_in_a_thousand_is_caught(
    loaded: tuple[Subject, Load], fault: str
):
    subject, load = loaded
    kind, more = DELIVERED[fault]
    hit = await hits(subject.store, fault)
    broken = replace(load, store=Corrupting(subject.store, fault))
    deliveries = await broken.deliveries(load.sent + more * hit)
    verification = await load.verification(subject.declared, deliveries=deliveries)
    assert verification.counts == {kind: hit}
