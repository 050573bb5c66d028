"""A store that breaks one event in so many on its way back, and does everything else right."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from harness.domain.store import EventStore, Position, RecordedEvent

EVERY = 1000

Events = AsyncIterator[RecordedEvent]


class Corrupting:
    """Appends pass through; every way of reading shows the same fault on the same events.

    What is not of the `EventStore` protocol (`setup`, `teardown`, …) is the wrapped store's.
    """

    def __init__(self, store: EventStore, fault: str) -> None:
        self._store = store
        self._fault = FAULTS[fault]
        self.append = store.append

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> Events:
        """The stream with the fault in it."""
        return self._broken(
            self._store.read_stream(stream, start=start, limit=limit, backwards=backwards)
        )

    def read_all(self, *, after: Position | None = None, limit: int | None = None) -> Events:
        """The log with the fault in it."""
        return self._broken(self._store.read_all(after=after, limit=limit))

    def subscribe(self, *, after: Position | None = None, category: str | None = None) -> Events:
        """The subscription with the fault in it."""
        return self._broken(self._store.subscribe(after=after, category=category))

    async def _broken(self, events: Events) -> Events:
        async with aclosing(events), aclosing(self._fault(events)) as broken:
            async for event in broken:
                yield event


def is_victim(event: RecordedEvent) -> bool:
    """One in `EVERY` of consecutive ids, the same ones in every read."""
    return event.id.int % EVERY == 0


async def drops(events: Events) -> Events:
    """The event never comes."""
    async for event in events:
        if not is_victim(event):
            yield event


async def duplicates(events: Events) -> Events:
    """The event comes twice."""
    async for event in events:
        yield event
        if is_victim(event):
            yield event


async def reorders(events: Events) -> Events:
    """The event comes behind the next one."""
    held: list[RecordedEvent] = []
    async for event in events:
        if is_victim(event):
            held.append(event)
            continue
        yield event
        while held:
            yield held.pop(0)
    for event in held:
        yield event


async def overwrites(events: Events) -> Events:
    """The event comes with another payload."""
    async for event in events:
        yield replace(event, data=b'{"overwritten":true}') if is_victim(event) else event


FAULTS: Mapping[str, Callable[[Events], Events]] = {
    fault.__name__: fault for fault in (drops, duplicates, reorders, overwrites)
}
