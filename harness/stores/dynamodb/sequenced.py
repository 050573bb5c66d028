"""`dynamodb:sequenced`: a total order, written by one sequencer and read from a log of copies.

A transaction moves the log's head and writes each event into its stream and a copy into the log.
The log is dense, its order is that of the transactions, and it lies in numbered partitions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.domain.errors import EventIdReused
from harness.domain.store import (
    AppendResult,
    ExpectedVersion,
    Guarantees,
    NewEvent,
    Position,
    RecordedEvent,
    category_of,
)
from harness.stores._shared.waiting import PollInterval
from harness.stores.dynamodb import items
from harness.stores.dynamodb.declaration import DynamoOptions
from harness.stores.dynamodb.event_items import EventItems
from harness.stores.dynamodb.items import b, int_of, n
from harness.stores.dynamodb.sequencer import BYTES_MAX, EVENTS_MAX, Sequencer
from harness.stores.dynamodb.session import Session

_POLL_MIN_S = 0.004


class Sequenced(EventItems):
    """Streams' heads are in memory; the log's head shows when they are out of date."""

    batch_limit = EVENTS_MAX

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._sequencer = Sequencer(self, session)

    @classmethod
    def declares(cls, options: DynamoOptions) -> Guarantees:
        """A total order, for one writing process."""
        return replace(
            super().declares(options),
            occ="emulated",
            occ_note="checked in the sequencer's memory, fenced by the log's head",
            global_order="total",
            gap_free_read=True,
            subscription="poll",
            writers="one",
        )

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """One transaction for all appends that wait."""
        items.check_expected(expected)
        items.check(stream, events, events_max=self.batch_limit, bytes_max=BYTES_MAX)
        answer = await self._sequencer.append(stream, events, expected)
        if answer.position is not None:
            return AppendResult(answer.version, Position((answer.position,)))
        return await self._written_before(stream, events, answer.version)

    async def _written_before(
        self, stream: str, events: Sequence[NewEvent], version: int
    ) -> AppendResult:
        first = version + 1 - len(events)
        if not await self.stand_at(stream, first, events):
            raise EventIdReused(f"stream {stream!r}: an event id is already used by another append")
        last = await anext(self.read_stream(stream, start=version, limit=1))
        return AppendResult(version, last.position)

    async def aclose(self) -> None:
        await self._sequencer.aclose()
        await super().aclose()

    def position_of(self, item: Mapping[str, Any], stream: str, version: int) -> Position:
        del stream, version
        return Position((int_of(item["position"]),))

    async def next_position(self) -> int:
        """The first position that no event has; 0 for an empty log."""
        item = await self._get(items.LOG_HEAD)
        return int_of(item["next"]) if item else 0

    def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """The events that were committed when the first one is requested."""
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
            next_partition = begin - begin % items.LOG_PARTITION_EVENTS + items.LOG_PARTITION_EVENTS
            stop = min(end, next_partition)
            ends = {":begin": n(begin), ":last": n(stop - 1)}
            body = self.query(items.log_partition(begin), "SK BETWEEN :begin AND :last", ends)
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
        interval = PollInterval(_POLL_MIN_S)
        while True:
            end = await self.next_position()
            async for event in self._between(begin, end):
                if category in (None, category_of(event.stream)):
                    yield event
            if end > begin:
                begin = end
                interval.reset()
            else:
                await interval.wait()

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """UpdateItem on the event and on the log's copy of it."""
        position = await self._position(stream, version)
        await self._overwritten(items.log_key(position), "data", b(data))
        return await super().overwrite(stream, version, data)

    async def delete(self, stream: str, version: int) -> bool:
        """DeleteItem on the event and on the log's copy of it."""
        await self._deleted(items.log_key(await self._position(stream, version)))
        return await super().delete(stream, version)

    async def _position(self, stream: str, version: int) -> int:
        events = self.read_stream(stream, start=version, limit=1)
        return (await anext(events)).position[0]
