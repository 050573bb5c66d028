"""A log of copies in numbered partitions: reading it, and following it by polling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from harness.store import Position, RecordedEvent
from harness.stores.dynamodb.event_items import EventItems
from harness.stores.dynamodb.items import b, int_of, key, n
from harness.stores.in_process import category_of

LOG = "L#"
LOG_HEAD = key("L#head", 0)
PARTITION_EVENTS = 10_000
"""Positions of one partition of the log: the service splits its load by partition."""
POLL_MIN_S = 0.002
POLL_MAX_S = 0.05
"""An idle subscription looks ever less often, down to this."""


def log_key(position: int) -> Mapping[str, Any]:
    """Where the log's copy of an event is."""
    return key(f"{LOG}{position // PARTITION_EVENTS}", position)


class LogReading(EventItems):
    """Global reading by position, dense from 0."""

    def position_of(self, item: Mapping[str, Any], stream: str, version: int) -> Position:
        """The event's place in the log."""
        del stream, version
        return Position((int_of(item["position"]),))

    async def next_position(self) -> int:
        """The first position that no event has; 0 for an empty log."""
        item = await self._get(LOG_HEAD)
        return int_of(item["next"]) if item else 0

    def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Whatever was committed at the first step."""
        return self._log(after, limit)

    async def _log(self, after: Position | None, limit: int | None) -> AsyncIterator[RecordedEvent]:
        if after == Position.NOW or limit == 0:
            return
        begin = 0 if after is None else after[0] + 1
        end = await self.next_position()
        end = end if limit is None else min(end, begin + limit)
        async for event in self._between(begin, end):
            yield event

    async def _between(self, begin: int, end: int) -> AsyncIterator[RecordedEvent]:
        """Events from one position to before another, partition by partition."""
        while begin < end:
            partition = begin // PARTITION_EVENTS
            stop = min(end, (partition + 1) * PARTITION_EVENTS)
            ends = {":begin": n(begin), ":last": n(stop - 1)}
            body = self.query(f"{LOG}{partition}", "SK BETWEEN :begin AND :last", ends)
            async for page in self._session.pages("Query", body):
                for item in page:
                    yield self.recorded(item, item["stream"]["S"], int_of(item["version"]))
            begin = stop

    async def subscribe(
        self, *, after: Position | None = None, category: str | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Polled at a short interval that grows while there is nothing new."""
        if after == Position.NOW:
            begin = await self.next_position()
        else:
            begin = 0 if after is None else after[0] + 1
        idle_s = POLL_MIN_S
        while True:
            end = await self.next_position()
            async for event in self._between(begin, end):
                if category in (None, category_of(event.stream)):
                    yield event
            idle_s = POLL_MIN_S if end > begin else min(2 * idle_s, POLL_MAX_S)
            if end <= begin:
                await asyncio.sleep(idle_s)
            begin = max(begin, end)

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """Try UpdateItem past the adapter, on the event and on the log's copy of it."""
        position = await self._position(stream, version)
        await self._overwritten(log_key(position), "data", b(data))
        return await super().overwrite(stream, version, data)

    async def delete(self, stream: str, version: int) -> bool:
        """Try DeleteItem past the adapter, on the event and on the log's copy of it."""
        await self._deleted(log_key(await self._position(stream, version)))
        return await super().delete(stream, version)

    async def _position(self, stream: str, version: int) -> int:
        events = self.read_stream(stream, start=version, limit=1)
        return (await anext(events)).position[0]
