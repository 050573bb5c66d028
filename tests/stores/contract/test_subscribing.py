"""Subscribing: past events then live ones, from anywhere, once, in order, and none missed."""

from __future__ import annotations

import asyncio

import pytest

from harness.domain.errors import UnsupportedByStore
from harness.domain.store import Position, RecordedEvent

from ..subject import Subject
from .support import (
    WITHIN_S,
    Following,
    append,
    assert_same_log,
    events,
    following,
    ids,
    read,
    read_log,
    versions,
)

subscribing = pytest.mark.declares(subscription=("push", "poll"))
SETTLE_S = 0.1
"""After the last expected event: long enough for one too many to show up."""


@pytest.mark.declares(subscription=("none",))
async def test_a_store_without_subscriptions_says_so(subject: Subject):
    with pytest.raises(UnsupportedByStore):
        await anext(aiter(subject.store.subscribe()))


@subscribing
async def test_a_subscriber_gets_past_events_and_then_new_ones(subject: Subject):
    past = events(5)
    await append(subject.store, "order-1", past)
    async with following(subject.store) as follower:
        await follower.until(5)
        new = events(5)
        for one in new:
            await append(subject.store, "order-1", [one])
        await follower.until(10)
        await asyncio.sleep(SETTLE_S)
    assert ids(follower.events) == ids(past + new)
    assert_same_log(subject, follower.events, await read_log(subject.store))


@subscribing
async def test_a_subscription_resumes_behind_any_position(subject: Subject):
    for number in range(4):
        await append(subject.store, f"order-{number % 2}", events(2))
    log = await read_log(subject.store)
    for place in (0, 3, 6, 7):
        await _resumes(subject, log, place)


async def _resumes(subject: Subject, log: list[RecordedEvent], place: int) -> None:
    after = Position.parse(str(log[place].position))
    total = subject.declared.global_order == "total"
    rest = log[place + 1 :] if total else await read_log(subject.store, after=after)
    assert log[place] not in rest
    async with following(subject.store, after=after) as follower:
        await follower.until(len(rest))
        new = events(1)
        await append(subject.store, "order-1", new)
        await follower.until(len(rest) + 1)
    log.append(follower.events[-1])
    assert_same_log(subject, follower.events[:-1], rest)
    assert ids(follower.events[-1:]) == ids(new)


@subscribing
async def test_a_subscription_from_now_gets_new_events_only(subject: Subject):
    past = events(5)
    await append(subject.store, "order-1", past)
    async with following(subject.store, after=Position.NOW) as follower:
        started = await _until_live(subject, follower)
        new = events(3)
        await append(subject.store, "order-1", new)
        await follower.until(started + 3)
        await asyncio.sleep(SETTLE_S)
    assert ids(follower.events[started:]) == ids(new)
    assert not set(ids(past)) & set(ids(follower.events))


async def _until_live(subject: Subject, follower: Following) -> int:
    """Append until the subscriber hears of it; how many it heard, none of them twice."""
    appended = 0
    while not follower.events:
        await append(subject.store, "marker-1")
        appended += 1
        await asyncio.sleep(0.02)
    last = (await read(subject.store, "marker-1"))[-1]
    while follower.events[-1].id != last.id:
        await follower.until(len(follower.events) + 1)
    assert len(set(ids(follower.events))) == len(follower.events) <= appended
    return len(follower.events)


@subscribing
@pytest.mark.declares(categories=(True,))
async def test_a_category_subscription_gets_all_and_only_its_own(subject: Subject):
    async def write() -> None:
        for stream in ("order-1", "orderly-1", "invoice-order-1", "order-a-b", "Order-1"):
            await append(subject.store, stream, events(2))

    await write()
    async with following(subject.store, category="order") as follower:
        await follower.until(4)
        await write()
        await follower.until(8)
        await asyncio.sleep(SETTLE_S)
    assert [one.stream for one in follower.events].count("order-1") == 4
    assert [one.stream for one in follower.events].count("order-a-b") == 4
    assert len(follower.events) == 8


@subscribing
@pytest.mark.declares(categories=(True,))
async def test_a_category_subscription_resumes_behind_a_position(subject: Subject):
    for number in range(6):
        await append(subject.store, f"{('order', 'invoice')[number % 2]}-1")
    orders = [one for one in await read_log(subject.store) if one.stream == "order-1"]
    how = {"category": "order", "after": orders[0].position}
    async with following(subject.store, **how) as follower:
        await follower.until(2)
    assert_same_log(subject, follower.events, orders[1:])


@subscribing
async def test_two_subscribers_do_not_share_what_they_get(subject: Subject):
    await append(subject.store, "order-1", events(3))
    async with following(subject.store) as one, following(subject.store) as other:
        await asyncio.gather(one.until(3), other.until(3))
        await append(subject.store, "order-1", events(3))
        await asyncio.gather(one.until(6), other.until(6))
    log = await read_log(subject.store)
    assert_same_log(subject, one.events, log)
    assert_same_log(subject, other.events, log)


@subscribing
async def test_an_idle_subscriber_wakes_for_another_connections_append(subject: Subject):
    elsewhere = await subject.connect()
    async with following(subject.store) as follower:
        await asyncio.sleep(0.2)
        await append(elsewhere, "order-1")
        await follower.until(1, within_s=2.0)


@subscribing
async def test_a_slow_subscriber_loses_nothing(subject: Subject):
    seen: list[RecordedEvent] = []

    async def handle_slowly() -> None:
        async for recorded in subject.store.subscribe():
            seen.append(recorded)
            await asyncio.sleep(0.001)
            if len(seen) == 300:
                return

    handling = asyncio.create_task(handle_slowly())
    for number in range(30):
        await append(subject.store, f"order-{number % 3}", events(10))
    await asyncio.wait_for(handling, WITHIN_S)
    assert_same_log(subject, seen, await read_log(subject.store))


@subscribing
async def test_a_cancelled_subscriber_leaves_the_store_usable(subject: Subject):
    for _ in range(20):
        async with following(subject.store):
            await asyncio.sleep(0)
    async with following(subject.store) as follower:
        await append(subject.store, "order-1", events(3))
        await follower.until(3)
    assert versions(follower.events) == [0, 1, 2]
