"""Reading: streams and the whole log, from anywhere, in both directions, in part."""

from __future__ import annotations

from contextlib import aclosing
from itertools import product

import pytest

from harness.domain.errors import StreamNotFound
from harness.domain.store import Position

from ..subject import Subject
from .support import append, event, events, ids, read, read_log, versions

LENGTH = 7
LIMITS = (None, 0, 3, LENGTH)
STARTS = (0, 3, LENGTH - 1, LENGTH, 100)
LONG = 1040
"""Events in a stream that no adapter reads in one page, where pages are of events."""
BATCH = 40
"""Of them in one append: within every adapter's limit."""


async def test_any_part_of_a_stream_can_be_read(subject: Subject):
    written = events(LENGTH)
    await append(subject.store, "order-0")
    await append(subject.store, "order-1", written)
    for start, limit, backwards in product(STARTS, LIMITS, (False, True)):
        ordered = written[start:][::-1] if backwards else written[start:]
        how = {"start": start, "limit": limit, "backwards": backwards}
        assert ids(await read(subject.store, "order-1", **how)) == ids(ordered[:limit]), how


async def test_a_missing_stream_differs_from_one_read_past_its_head(subject: Subject):
    await append(subject.store, "order-1")
    assert await read(subject.store, "order-1", start=1) == []
    for how in ({}, {"start": 5}, {"backwards": True}, {"limit": 1}):
        with pytest.raises(StreamNotFound) as missing:
            [_ async for _ in subject.store.read_stream("order-2", **how)]
        assert missing.value.stream == "order-2"


ONE_WAY = ("eventstoredb:plain", "eventstoredb:template")
"""They read as EventStoreDB's default design does."""
BY_BYTES = ("dynamodb{driver=http}", "dynamodb:commit", "dynamodb:sequenced")
"""Their pages are a megabyte: `tests/stores/test_dynamodb.py`."""


@pytest.mark.leaves_out(*ONE_WAY, *BY_BYTES)
async def test_a_long_stream_is_read_whole(subject: Subject):
    for first in range(0, LONG, BATCH):
        await append(subject.store, "order-1", events(BATCH))
        await append(subject.store, f"noise-{first}")
    assert versions(await read(subject.store, "order-1")) == list(range(LONG))
    newest_first = await read(subject.store, "order-1", backwards=True)
    assert versions(newest_first) == list(range(LONG))[::-1]
    assert len(await read(subject.store, "order-1", start=10, limit=LONG - 20)) == LONG - 20
    assert len(await read_log(subject.store)) == LONG + LONG // BATCH


async def test_an_abandoned_read_leaves_the_store_usable(subject: Subject):
    await append(subject.store, "order-1", events(BATCH))
    for _ in range(10):
        for reading in (subject.store.read_stream("order-1"), subject.store.read_all()):
            async with aclosing(reading):
                async for _ in reading:
                    break
    await append(subject.store, "order-1")
    assert len(await read(subject.store, "order-1")) == BATCH + 1


async def test_a_read_ends_although_the_reader_appends(subject: Subject):
    await append(subject.store, "order-1", events(5))
    seen = 0
    async for _ in subject.store.read_stream("order-1"):
        seen += 1
        await append(subject.store, "order-1")
        assert seen < 1000
    assert seen >= 5


async def test_the_log_holds_everything_once_and_in_the_streams_order(subject: Subject):
    written = [event() for _ in range(12)]
    for number, one in enumerate(written):
        await append(subject.store, f"order-{number % 3}", [one])
    log = await read_log(subject.store)
    assert sorted(ids(log)) == sorted(ids(written))
    for number in range(3):
        mine = [one for one in log if one.stream == f"order-{number}"]
        assert versions(mine) == [0, 1, 2, 3]
    if subject.declared.global_order == "total":
        assert ids(log) == ids(written)


async def test_the_log_and_the_stream_tell_the_same_of_an_event(subject: Subject):
    await append(subject.store, "order-1", events(3))
    assert await read_log(subject.store) == await read(subject.store, "order-1")


async def test_an_empty_store_has_an_empty_log(subject: Subject):
    assert await read_log(subject.store) == []
    assert await read_log(subject.store, after=Position.NOW) == []


async def test_reading_resumes_behind_any_position(subject: Subject):
    for number in range(6):
        await append(subject.store, f"order-{number % 2}", events(2))
    log = await read_log(subject.store)
    for place, recorded in enumerate(log):
        after = Position.parse(str(recorded.position))
        assert after == recorded.position
        rest = await read_log(subject.store, after=after)
        if subject.declared.global_order == "total":
            assert rest == log[place + 1 :]
            assert await read_log(subject.store, after=after, limit=2) == rest[:2]
        else:
            assert recorded.id not in ids(rest)
    assert await read_log(subject.store, after=Position.NOW) == []


async def test_the_log_can_be_read_in_pages(subject: Subject):
    for number in range(5):
        await append(subject.store, f"order-{number}", events(3))
    everything = await read_log(subject.store)
    assert await read_log(subject.store, limit=0) == []
    paged, after = [], None
    while page := await read_log(subject.store, after=after, limit=4):
        assert len(page) <= 4
        paged += page
        after = page[-1].position
    assert paged == everything
