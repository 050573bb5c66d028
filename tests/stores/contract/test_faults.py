"""Trouble with the server: what an append may say, and that saying it was right.

A caller must be able to trust each answer afterwards: acknowledged is there as far as
the declared durability goes, `NotWritten` is not there, `OutcomeUnknown` is resolved by reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from harness.domain.durability import Durability
from harness.domain.errors import (
    NotSent,
    NotWritten,
    OutcomeUnknown,
    ReadFailed,
    StoreError,
    StoreUnavailable,
)
from harness.domain.store import Adapter, NewEvent, RecordedEvent

from ..subject import Subject
from .support import append, assert_same_log, event, events, following, ids, read, read_log

WRITERS = 8
LOAD_S = 0.2
BACK_WITHIN_S = 15.0
SURVIVES_A_KILL = (Durability.PROCESS_CRASH, Durability.POWER_LOSS)


@dataclass(slots=True)
class Told:
    """What one writer was told of its batches until the first trouble."""

    acknowledged: list[NewEvent] = field(default_factory=list)
    not_written: list[NewEvent] = field(default_factory=list)
    unknown: list[NewEvent] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)


async def _write_until_trouble(store: Adapter, stream: str, told: Told) -> None:
    while True:
        batch = events(2)
        try:
            await append(store, stream, batch)
        except OutcomeUnknown:
            told.unknown += batch
            return
        except NotWritten:
            told.not_written += batch
            return
        told.acknowledged += batch
        told.begun.set()


async def _under_load(everything: Sequence[Told]) -> None:
    """Wait until each writer has written, then a little more: a server may start slowly."""
    async with asyncio.timeout(BACK_WITHIN_S):
        await asyncio.gather(*(told.begun.wait() for told in everything))
    await asyncio.sleep(LOAD_S)


async def _until_back(store: Adapter, stream: str = "back-1") -> None:
    """Retry one append until the store is there; the connection object is the same."""
    batch = events(1)
    async with asyncio.timeout(BACK_WITHIN_S):
        while True:
            try:
                await append(store, stream, batch)
            except StoreError:
                await asyncio.sleep(0.05)
            else:
                return


async def _impatient(served: Subject) -> Adapter:
    """A connection with a short deadline, which a busy machine may not keep at the first try."""
    async with asyncio.timeout(BACK_WITHIN_S):
        while True:
            with suppress(StoreUnavailable):
                return await served.connect(deadline_s=0.5)


def _count(log: Sequence, batch: Sequence[NewEvent]) -> list[int]:
    found = ids(log)
    return [found.count(one.id) for one in batch]


OTHER_DRIVER = ("dynamodb:commit{driver=http}", "dynamodb:sequenced{driver=http}")
"""Its answers, and what they mean, are those of `dynamodb{driver=http}`."""
OTHER_CONTENT = ("postgres{payload=jsonb}", "postgres{notify=true}")
"""What is written does not matter where nobody answers."""
ALIKE = ("kafka{flush=each}", "kafka{partitions=1}", *OTHER_DRIVER, *OTHER_CONTENT)


@pytest.mark.leaves_out(*ALIKE)
async def test_each_answer_holds_after_the_server_was_killed_in_mid_call(served: Subject):
    store = served.store
    await append(store, "first-1")  # what is opened at the first append is open
    everything = [Told() for _ in range(WRITERS)]
    writing = [
        asyncio.create_task(_write_until_trouble(store, f"order-{number}", told))
        for number, told in enumerate(everything)
    ]
    await _under_load(everything)
    await served.server.kill()
    try:
        await asyncio.gather(*writing)
        await _assert_unavailable(served)
    finally:
        await served.server.restart()
    await _until_back(store)
    log = await read_log(store)
    for told in everything:
        if served.declared.durability in SURVIVES_A_KILL:
            assert set(_count(log, told.acknowledged)) == {1}
        assert set(_count(log, told.not_written)) <= {0}
        unknown = _count(log, told.unknown)
        assert unknown in ([], [0, 0], [1, 1]) or not served.declared.atomic_append
        assert set(unknown) <= {0, 1}
    await _assert_unknowns_can_be_retried(served, everything)


async def _assert_unavailable(served: Subject) -> None:
    """A connection may have to find out; then nobody answers, and nothing was sent."""
    for _ in range(2):
        with pytest.raises((StoreUnavailable, OutcomeUnknown)):
            await append(served.store, "down-1")
    with pytest.raises(StoreUnavailable):
        await append(served.store, "down-1")
    with pytest.raises((ReadFailed, StoreUnavailable)):
        await read_log(served.store)
    with pytest.raises(StoreUnavailable):
        await served.adapter.connect(served.endpoint, served.options)


async def _assert_unknowns_can_be_retried(served: Subject, everything: Sequence[Told]) -> None:
    if served.declared.idempotency != "durable":
        return
    for number, told in enumerate(everything):
        if told.unknown:
            await append(served.store, f"order-{number}", told.unknown)
    log = await read_log(served.store)
    for told in everything:
        assert set(_count(log, told.unknown)) <= {1}


async def test_an_append_to_a_paused_server_is_unknown_until_it_can_be_read(served: Subject):
    store = await _impatient(served)
    await _until_back(store, "order-1")
    batch = events(2)
    await served.server.pause()
    try:
        # A design that looks before it writes may know that nothing was sent.
        with pytest.raises((OutcomeUnknown, NotSent)) as ended:
            await append(store, "order-1", batch)
        with pytest.raises((ReadFailed, StoreUnavailable)):
            await read(store, "order-1")
    finally:
        await served.server.resume()
    await _until_back(store, "order-1")
    # With a deadline that a reader who connects anew can keep.
    written = _count(await read_log(served.store), batch)
    assert not isinstance(ended.value, NotSent) or written == [0, 0]
    assert written in ([0, 0], [1, 1]) or not served.declared.atomic_append
    assert max(written) <= 1
    if served.declared.idempotency == "durable":
        await append(store, "order-1", batch)
        assert _count(await read_log(served.store), batch) == [1, 1]


@pytest.mark.leaves_out(*ALIKE)
@pytest.mark.declares(subscription=("push", "poll"), starts_where_asked=(True,))
async def test_after_a_restart_everything_goes_on(served: Subject):
    store = served.store
    batch = [event(), event()]
    first = await append(store, "order-1", batch)
    seen = await _follow_through_a_restart(served, len(batch))
    if served.declared.idempotency == "durable":
        assert await append(store, "order-1", batch) == first
    assert ids(await read(store, "order-1")) == ids(batch)
    async with following(store, after=seen[-1].position) as resumed:
        log = await read_log(store)
        await resumed.until(len(log) - len(seen))
    assert_same_log(served, seen + resumed.events, log)


async def _follow_through_a_restart(served: Subject, past: int) -> list[RecordedEvent]:
    """What a subscriber saw, which may end with its connection or go on, but not go wrong."""
    with suppress(StoreError):
        async with following(served.store) as follower:
            await follower.until(past)
            await served.server.restart()
            await _until_back(served.store)
    return follower.events


@pytest.mark.leaves_out("dynamodb:commit", "dynamodb:sequenced", *OTHER_DRIVER)
@pytest.mark.declares(subscription=("none",))
async def test_after_a_restart_everything_is_there(served: Subject):
    batch = [event(), event()]
    await append(served.store, "order-1", batch)
    await served.server.restart()
    await _until_back(served.store)
    assert ids(await read(served.store, "order-1")) == ids(batch)
    assert len(await read_log(served.store)) == len(batch) + 1
