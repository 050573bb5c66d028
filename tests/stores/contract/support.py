"""What the contract's tests have in common: fresh events, reading back, following."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from itertools import count
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest

from harness.domain.errors import (
    AppendRefused,
    StreamNotFound,
    UnsupportedByStore,
    WrongExpectedVersion,
)
from harness.domain.store import (
    UNTOLD,
    AppendResult,
    EventStore,
    ExpectedVersion,
    NewEvent,
    Position,
    RecordedEvent,
    StreamState,
)

from ..subject import Subject

ANY, NO_STREAM, EXISTS = StreamState.ANY, StreamState.NO_STREAM, StreamState.EXISTS
T = TypeVar("T")

WITHIN_S = 10.0
"""How long a test waits for what must come."""

_numbers = count()


def event(
    data: bytes | None = None,
    *,
    id: UUID | None = None,  # noqa: A002 - the event's own word
    type: str = "OrderPlaced",  # noqa: A002
    metadata: bytes = b'{"causationId": "c-1", "correlationId": "k-1"}',
) -> NewEvent:
    """A fresh event with a payload of its own, JSON unless told otherwise."""
    payload = json.dumps({"order": next(_numbers)}).encode() if data is None else data
    return NewEvent(id or uuid4(), type, payload, metadata)


def events(number: int) -> list[NewEvent]:
    """Fresh events."""
    return [event() for _ in range(number)]


async def append(
    store: EventStore,
    stream: str,
    batch: Sequence[NewEvent] | None = None,
    *,
    expected: ExpectedVersion = ANY,
) -> AppendResult:
    """Append one fresh event, or the given ones, under ANY unless told otherwise."""
    return await store.append(stream, events(1) if batch is None else batch, expected=expected)


async def read(store: EventStore, stream: str, **how: Any) -> list[RecordedEvent]:
    """A stream's events; none if there is no such stream."""
    try:
        return [recorded async for recorded in store.read_stream(stream, **how)]
    except StreamNotFound:
        return []


async def read_log(store: EventStore, **how: Any) -> list[RecordedEvent]:
    """The events of all streams."""
    return [recorded async for recorded in store.read_all(**how)]


def ids(written: Sequence[NewEvent | RecordedEvent]) -> list[UUID]:
    """The events' ids, in order."""
    return [one.id for one in written]


def versions(recorded: Sequence[RecordedEvent]) -> list[int]:
    """The events' versions, in order."""
    return [one.version for one in recorded]


def told(subject: Subject, version: int) -> int:
    """What an append that ends at this version answers."""
    return version if subject.declared.tells_version else UNTOLD


def assert_same_log(
    subject: Subject, one: Sequence[RecordedEvent], other: Sequence[RecordedEvent]
) -> None:
    """The same events, each stream in its order.

    Where the global order is total they stand in one order, and have the same positions. Else
    two readers may meet the streams in another order, and a position tells what was met before.
    """
    if subject.declared.global_order == "total":
        assert one == other
    else:
        assert _by_stream(one) == _by_stream(other)


def _by_stream(log: Sequence[RecordedEvent]) -> list[RecordedEvent]:
    unplaced = [replace(event, position=Position()) for event in log]
    return sorted(unplaced, key=lambda event: event.stream)


async def assert_conflict(
    subject: Subject,
    stream: str,
    batch: Sequence[NewEvent],
    *,
    expected: ExpectedVersion,
    actual: int | None,
) -> None:
    """The append is a typed conflict and writes nothing.

    A store that declares no optimistic concurrency may write, refuse or say that it is
    unsupported, and nothing else.
    """
    before = await read(subject.store, stream)
    if subject.declared.occ == "none":
        with suppress(WrongExpectedVersion, AppendRefused, UnsupportedByStore):
            await subject.store.append(stream, batch, expected=expected)
        return
    with pytest.raises(WrongExpectedVersion) as conflict:
        await subject.store.append(stream, batch, expected=expected)
    assert (conflict.value.stream, conflict.value.expected) == (stream, expected)
    assert conflict.value.actual == actual
    assert await read(subject.store, stream) == before


def only(found: Sequence[T]) -> T:
    """The one that was found."""
    assert len(found) == 1, f"{len(found)} instead of 1"
    return found[0]


class Following:
    """What one subscriber was handed so far."""

    def __init__(self) -> None:
        self.events: list[RecordedEvent] = []
        self.task: asyncio.Task[None] | None = None
        self._more = asyncio.Event()

    async def run(self, subscription: AsyncIterator[RecordedEvent]) -> None:
        """Take events until cancelled."""
        async with aclosing(subscription):
            async for recorded in subscription:
                self.events.append(recorded)
                self._more.set()

    async def until(self, number: int, *, within_s: float | None = None) -> list[RecordedEvent]:
        """The events, once there are so many; what ended the subscriber is raised."""
        async with asyncio.timeout(within_s or WITHIN_S):
            while len(self.events) < number:
                self._more.clear()
                more = asyncio.ensure_future(self._more.wait())
                await asyncio.wait({more, self.task}, return_when=asyncio.FIRST_COMPLETED)
                more.cancel()
                if self.task.done():
                    self.task.result()
                    pytest.fail("the subscription ended by itself")
        return self.events


@asynccontextmanager
async def following(store: EventStore, **how: Any) -> AsyncIterator[Following]:
    """A subscriber beside the test, cancelled afterwards."""
    follower = Following()
    follower.task = asyncio.create_task(follower.run(store.subscribe(**how)))
    yield follower
    follower.task.cancel()
    with suppress(asyncio.CancelledError):
        await follower.task
