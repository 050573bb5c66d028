"""A store that is sound as long as one process writes: its guard is a lock in the process."""

from __future__ import annotations

import asyncio

from harness.errors import StreamNotFound, WrongExpectedVersion
from harness.store import StreamState
from harness.stores.sqlite import SqliteStore

_guard = asyncio.Lock()


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
