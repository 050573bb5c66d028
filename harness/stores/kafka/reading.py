"""Reading a topic: its records, streams and the log, once or endlessly."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager

from harness.domain.errors import ReadFailed, ReadTimeout, StreamNotFound
from harness.domain.store import Position, RecordedEvent, category_of
from harness.stores.kafka.clients import Administrator, Clients, Consumer
from harness.stores.kafka.deadlines import BrokerProbe
from harness.stores.kafka.messages import Record, header_version, key_of, partition_of, recorded

Page = Sequence[Record]

_SCAN_POLL_S = 0.005
"""At the end of a partition only a transaction's marker may be left, which is no record."""
_FOLLOW_POLL_S = 0.2
_SILENCE_S = 0.5


class Scanner:
    """Consumers of one topic, and what they read."""

    def __init__(
        self, clients: Clients, administrator: Administrator, probe: BrokerProbe, deadline_s: float
    ) -> None:
        self._clients, self._administrator = clients, administrator
        self._probe, self._deadline_s = probe, deadline_s
        self._resting: list[Consumer] = []

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """Where these partitions end now."""
        await self._require()
        return await self._administrator.ends(tuple(partitions))

    async def scan(self, starts: Mapping[int, int]) -> AsyncGenerator[Page, None]:
        """One partition after the other, each up to where it ended at the first step, in pages."""
        ends = await self.ends(starts)
        async with self._consumer() as consumer:
            for partition in sorted(starts):
                if starts[partition] < ends[partition]:
                    await consumer.assign({partition: starts[partition]})
                    async for page in self._until(consumer, partition, ends[partition]):
                        yield page

    async def follow(self, starts: Mapping[int, int]) -> AsyncGenerator[Page, None]:
        """All of these partitions concurrently and endlessly, also across a broker's restart."""
        await self._require()
        consumer = await self._clients.consumer(waiting=True)
        try:
            await consumer.assign(starts)
            while True:
                yield await consumer.poll(within_s=_FOLLOW_POLL_S)
        finally:
            await consumer.aclose()

    async def close(self) -> None:
        """Close the consumers that are not in use."""
        resting, self._resting = self._resting, []
        for consumer in resting:
            await consumer.aclose()

    async def _until(
        self, consumer: Consumer, partition: int, end: int
    ) -> AsyncGenerator[Page, None]:
        heard_s = time.monotonic()
        while consumer.places[partition] < end:
            records = await consumer.poll(within_s=_SCAN_POLL_S)
            if not records:
                await self._still_there(time.monotonic() - heard_s)
                continue
            yield (
                [one for one in records if one.offset < end]
                if records[-1].offset >= end
                else records
            )
            heard_s = time.monotonic()

    async def _still_there(self, silent_s: float) -> None:
        if silent_s > self._deadline_s:
            raise ReadTimeout("Kafka did not answer before the deadline")
        if silent_s > _SILENCE_S and not await self._probe.answers():
            raise ReadFailed("the Kafka broker is down")

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[Consumer]:
        consumer = self._resting.pop() if self._resting else await self._opened()
        try:
            yield consumer
            await consumer.assign({})
        except BaseException:
            await consumer.aclose()
            raise
        self._resting.append(consumer)

    async def _opened(self) -> Consumer:
        return await self._clients.consumer(waiting=False)

    async def _require(self) -> None:
        """Fail at once without topic or broker: drivers would wait for one to appear."""
        await self._probe.require()
        if not await self._administrator.exists():
            raise ReadFailed("the topic does not exist")


Events = AsyncGenerator[RecordedEvent, None]
PagesOf = Callable[[Mapping[int, int]], AsyncGenerator[Page, None]]
Versions = Callable[[Record], int]
"""The version of each record, given all records of its partition from the first on."""


def counted() -> Versions:
    """Versions by counting a stream's records: for topics whose records state none."""
    seen: Counter[bytes] = Counter()

    def version(record: Record) -> int:
        seen[record.key] += 1
        return seen[record.key] - 1

    return version


def stated() -> Versions:
    """Versions as the records state them."""
    return header_version


class Reading:
    """The reading half of an `EventStore`.

    A position is the next offset of each partition. Where versions are counted, every reader
    begins at the first record, wherever it resumes.
    """

    def __init__(self, scanner: Scanner, partitions: int, *, counting: bool) -> None:
        self._scanner, self._partitions, self._counting = scanner, partitions, counting
        self._versions = counted if counting else stated

    async def stream(
        self, stream: str, start: int, limit: int | None, *, backwards: bool
    ) -> AsyncIterator[RecordedEvent]:
        """A scan of the stream's partition as it is at the first step."""
        events = await self._scanned(stream)
        if not events:
            raise StreamNotFound(stream)
        for event in (events[start:][::-1] if backwards else events[start:])[:limit]:
            yield event

    async def _scanned(self, stream: str) -> list[RecordedEvent]:
        key = key_of(stream)
        partition = partition_of(key, self._partitions)
        places = [0] * self._partitions
        version = self._versions()
        events = []
        async with aclosing(self._scanner.scan({partition: 0})) as pages:
            async for page in pages:
                for record in page:
                    if record.key == key:
                        places[partition] = record.offset + 1
                        events.append(recorded(record, version(record), Position(places)))
        return events

    async def log(self, after: Position | None, limit: int | None) -> AsyncIterator[RecordedEvent]:
        """One partition after the other, as they are at the first step."""
        if after == Position.NOW or limit == 0:
            return
        async with aclosing(self._events(self._scanner.scan, after)) as events:
            async for event in events:
                yield event
                limit = None if limit is None else limit - 1
                if limit == 0:
                    return

    async def follow(
        self, after: Position | None, category: str | None
    ) -> AsyncIterator[RecordedEvent]:
        """All partitions concurrently, in the order of arrival."""
        if after == Position.NOW:
            ends = await self._scanner.ends(range(self._partitions))
            after = Position(ends[partition] for partition in range(self._partitions))
        async with aclosing(self._events(self._scanner.follow, after)) as events:
            async for event in events:
                if category in (None, category_of(event.stream)):
                    yield event

    async def _events(self, pages_of: PagesOf, after: Position | None) -> Events:
        places = list(after) if after is not None else [0] * self._partitions
        version = self._versions()
        async with aclosing(pages_of(self._starts(places))) as pages:
            async for page in pages:
                for record in page:
                    number = version(record)
                    if record.offset >= places[record.partition]:
                        places[record.partition] = record.offset + 1
                        yield recorded(record, number, Position(places))

    def _starts(self, places: list[int]) -> dict[int, int]:
        return (
            dict.fromkeys(range(self._partitions), 0) if self._counting else dict(enumerate(places))
        )
