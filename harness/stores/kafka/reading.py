"""Reading streams, reading the log, and following it, whichever the driver."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing

from harness.errors import StreamNotFound
from harness.store import Position, RecordedEvent
from harness.stores.in_process import category_of
from harness.stores.kafka.messages import Record, key_of, recorded, told_version
from harness.stores.kafka.partitioning import partition_of
from harness.stores.kafka.scanning import Page, Scanner

Events = AsyncGenerator[RecordedEvent, None]
PagesOf = Callable[[Mapping[int, int]], AsyncGenerator[Page, None]]
Versions = Callable[[Record], int]
"""The version of each record, given all records of its partition from the first on."""


def counted() -> Versions:
    """Versions by counting a stream's records: for topics whose records do not tell."""
    seen: Counter[bytes] = Counter()

    def version(record: Record) -> int:
        seen[record.key] += 1
        return seen[record.key] - 1

    return version


def told() -> Versions:
    """Versions as the records tell them."""
    return told_version


class Reading:
    """The reading half of an `EventStore`.

    A position is the next offset of each partition. Where versions are counted, every reader
    begins at the first record, wherever it resumes.
    """

    def __init__(self, scanner: Scanner, partitions: int, *, counting: bool) -> None:
        self._scanner, self._partitions, self._counting = scanner, partitions, counting
        self._versions = counted if counting else told

    async def stream(
        self, stream: str, start: int, limit: int | None, *, backwards: bool
    ) -> AsyncIterator[RecordedEvent]:
        """A scan of the stream's partition as it is at the first step."""
        found = await self._scanned(stream)
        if not found:
            raise StreamNotFound(stream)
        for event in (found[start:][::-1] if backwards else found[start:])[:limit]:
            yield event

    async def _scanned(self, stream: str) -> list[RecordedEvent]:
        key = key_of(stream)
        partition = partition_of(key, self._partitions)
        places = [0] * self._partitions
        version = self._versions()
        found = []
        async with aclosing(self._scanner.scan({partition: 0})) as pages:
            async for page in pages:
                for record in page:
                    if record.key == key:
                        places[partition] = record.offset + 1
                        found.append(recorded(record, version(record), Position(places)))
        return found

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
        """All partitions side by side, in the order in which they arrive."""
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
