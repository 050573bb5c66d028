"""Stores that are sound as long as one process writes: a lock or a bell is in the process."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from harness.domain.errors import StreamNotFound, WrongExpectedVersion
from harness.domain.store import Position, StreamState, category_of
from harness.stores._shared.waiting import Bell
from harness.stores.sqlite import SqliteStore

_guard = asyncio.Lock()
_bells = defaultdict(Bell)


class GuardsInItsProcess(SqliteStore):
    """Looks at the head and appends under ANY, one caller of this process at a time."""

    async def append(self, stream, events, *, expected):
        async with _guard:
            head = await self._head(stream)
            if expected is StreamState.NO_STREAM and head is not None:
                raise WrongExpectedVersion(stream, expected, head)
            if isinstance(expected, int) and expected != head:
                raise WrongExpectedVersion(stream, expected, head)
            return await super().append(stream, events, expected=StreamState.ANY)

    async def _head(self, stream):
        try:
            async for event in super().read_stream(stream, limit=1, backwards=True):
                return event.version
        except StreamNotFound:
            return None


class WakesByABellOfItsProcess(SqliteStore):
    """A subscriber looks again when an append of its own process rings, and only then."""

    place = ""

    @classmethod
    async def connect(cls, endpoint, options):
        store = await super().connect(endpoint, options)
        store.place = f"{endpoint.address} {endpoint.namespace}"
        return store

    async def append(self, stream, events, *, expected):
        result = await super().append(stream, events, expected=expected)
        _bells[self.place].ring()
        return result

    async def subscribe(self, *, after=None, category=None):
        if after == Position.NOW:
            after = None
            async for event in self.read_all():
                after = event.position
        while True:
            bell = _bells[self.place].listen()
            async for event in self.read_all(after=after):
                after = event.position
                if category is None or category_of(event.stream) == category:
                    yield event
            await bell.wait()
