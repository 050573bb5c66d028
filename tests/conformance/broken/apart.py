"""Further stores that are sound as long as one process writes: what they go by is kept in it."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar
from uuid import UUID, uuid4

from harness.domain.store import Position, StreamState
from harness.stores.sqlite import SqliteStore

from .guarding import GuardsInItsProcess, _guard

ANY, NO_STREAM = StreamState.ANY, StreamState.NO_STREAM


class GuardsVersionsInItsProcess(GuardsInItsProcess):
    """NO_STREAM is left to the store itself."""

    async def append(self, stream, events, *, expected):
        if isinstance(expected, StreamState):
            return await SqliteStore.append(self, stream, events, expected=expected)
        return await super().append(stream, events, expected=expected)


class TakesTurnsInItsProcess(GuardsInItsProcess):
    """ANY is the head, looked up while nobody else in this process appends."""

    async def append(self, stream, events, *, expected):
        if expected is not ANY:
            return await SqliteStore.append(self, stream, events, expected=expected)
        async with _guard:
            head = await self._head(stream)
            seen = NO_STREAM if head is None else head
            return await SqliteStore.append(self, stream, events, expected=seen)


class KnowsIdsOfItsProcessUnderAny(GuardsInItsProcess):
    """Under ANY, ids are looked up among those that this process appended."""

    seen: ClassVar[set[UUID]] = set()

    async def append(self, stream, events, *, expected):
        head = await self._head(stream)
        result = await SqliteStore.append(self, stream, events, expected=expected)
        known = head is not None and result.version <= head
        if expected is ANY and known and events[0].id not in self.seen:
            events = [replace(event, id=uuid4()) for event in events]
            result = await SqliteStore.append(self, stream, events, expected=ANY)
        self.seen.update(event.id for event in events)
        return result


class ReadsAsFarAsItsProcessWrote(SqliteStore):
    """The log ends after the last event that this process appended."""

    ends: ClassVar[dict[str, Position]] = {}

    @property
    def end(self):
        return self.ends.get(str(self.path), Position((0,)))

    async def append(self, stream, events, *, expected):
        result = await super().append(stream, events, expected=expected)
        self.ends[str(self.path)] = max(result.position, self.end)
        return result

    async def read_all(self, *, after=None, limit=None):
        async for event in super().read_all(after=after, limit=limit):
            if event.position > self.end:
                return
            yield event
