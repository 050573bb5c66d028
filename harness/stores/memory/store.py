"""Every guarantee of the contract, kept by a list and the event loop's single thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import FrozenInstanceError, replace
from itertools import islice
from typing import Self

from harness.domain.boundaries import BoundaryAppend, BoundaryItem, BoundaryRead, TaggedEvent
from harness.domain.durability import Durability
from harness.domain.errors import StoreUnavailable, StreamNotFound
from harness.domain.store import (
    AppendResult,
    Endpoint,
    ExpectedVersion,
    Facts,
    Guarantees,
    NewEvent,
    Position,
    RecordedEvent,
    Snapshot,
    StoreOptions,
    category_of,
)
from harness.stores._shared import append_rules
from harness.stores._shared.waiting import give_way
from harness.stores.memory.log import Log

PAGE_EVENTS = 256
"""Events that a reader gets before it yields to the loop's other tasks."""

GUARANTEES = Guarantees(
    occ="native",
    atomic_append=True,
    global_order="total",
    gap_free_read=True,
    idempotency="durable",
    stream_read="indexed",
    subscription="push",
    append_only="enforced",
    durability=Durability.MEMORY,
    writers="one",
    facts=Facts(
        multi_stream_appends="no",
        transactional_projections="no",
        erasure="the process ends",
        backup="none",
        licence="this repository's own",
        source="harness/stores/memory/store.py",
    ),
)

logs: dict[str, Log] = {}
"""By namespace, so that two connections of one process see the same events."""


class MemoryOptions(StoreOptions):
    """The memory store has no options."""


class MemoryStore:
    """Every guarantee of the contract, kept by a list and the event loop's single thread."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    @classmethod
    def declares(cls, options: MemoryOptions) -> Guarantees:  # noqa: ARG003
        """All of them, for as long as the process lives."""
        return GUARANTEES

    @staticmethod
    def durability_of(settings: Mapping[str, str]) -> Durability:  # noqa: ARG004
        return Durability.MEMORY

    @classmethod
    async def connect(cls, endpoint: Endpoint, options: MemoryOptions) -> Self:  # noqa: ARG003
        return cls(endpoint.namespace)

    async def setup(self) -> None:
        """Make the namespace's log, unless it is there."""
        logs.setdefault(self.namespace, Log())

    async def teardown(self) -> None:
        """Forget the namespace's log; its subscribers get `StoreUnavailable`."""
        log = logs.pop(self.namespace, None)
        if log is not None:
            log.appended.ring()

    async def settings(self) -> Mapping[str, str]:
        return {}

    async def aclose(self) -> None:
        """Nothing to close: the log stays until `teardown`."""

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Write all of `events`, or raise a `NotWritten` and write none."""
        await give_way()
        return self.log.append(stream, events, expected)

    async def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """The stream as it is at the first step."""
        await give_way()
        events = self.log.streams.get(stream)
        if events is None:
            raise StreamNotFound(stream)
        versions = range(start, len(events))
        for page in _pages((versions[::-1] if backwards else versions)[:limit]):
            for version in page:
                yield events[version]
            await give_way()

    async def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """The log as it is at the first step."""
        await give_way()
        log = self.log
        for page in _pages(range(log.index_after(after), len(log))[:limit]):
            for index in page:
                yield log[index]
            await give_way()

    async def subscribe(
        self, *, after: Position | None = None, category: str | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Pushed: an append wakes the subscriber, which reads on in the log itself."""
        index = self.log.index_after(after)
        while True:
            if index >= len(self.log):
                await self.log.appended.listen().wait()
            log = self.log
            end = min(index + PAGE_EVENTS, len(log))
            for event in map(log.__getitem__, range(index, end)):
                if category is None or category_of(event.stream) == category:
                    yield event
            index = end
            await give_way()

    async def load_checkpoint(self, subscriber: str) -> Position | None:
        return self.log.checkpoints.get(subscriber)

    async def save_checkpoint(self, subscriber: str, position: Position) -> None:
        self.log.checkpoints[subscriber] = position

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        return self.log.snapshots.get(stream)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        kept = self.log.snapshots.setdefault(snapshot.stream, snapshot)
        if snapshot.version > kept.version:
            self.log.snapshots[snapshot.stream] = snapshot

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """Assign to a recorded event: Python refuses."""
        event = self.log.streams[stream][version]
        try:
            event.data = data  # type: ignore[misc]  # what is tried here
        except FrozenInstanceError:
            return False
        return True

    async def delete(self, stream: str, version: int) -> bool:
        """Delete from the log: Python refuses."""
        event = self.log.streams[stream][version]
        try:
            del self.log[event.position[0]]  # type: ignore[attr-defined]  # what is tried here
        except TypeError:
            return False
        return True

    @property
    def log(self) -> Log:
        """The namespace's log. Raises `StoreUnavailable` where there is none."""
        try:
            return logs[self.namespace]
        except KeyError:
            raise StoreUnavailable(f"no namespace {self.namespace!r}: setup() makes it") from None


class BoundaryMemory(MemoryStore):
    """The reference for consistency boundaries: one thread decides and writes."""

    @classmethod
    def declares(cls, options: MemoryOptions) -> Guarantees:
        return replace(super().declares(options), boundaries="native")

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Raises `AppendRefused` for the name that tagged events have in place of a stream's."""
        append_rules.require_stream(stream)
        return await super().append(stream, events, expected=expected)

    async def query(
        self,
        items: Sequence[BoundaryItem],
        *,
        after: Position | None = None,
        limit: int | None = None,
    ) -> BoundaryRead:
        """The log as it is at the first step."""
        await give_way()
        log = self.log
        found = tuple(islice(log.boundary(items, after), limit))
        if limit is not None and len(found) == limit:
            return BoundaryRead(found, found[-1].event.position if found else after)
        return BoundaryRead(found, log[len(log) - 1].position if len(log) else None)

    async def append_if(
        self,
        events: Sequence[TaggedEvent],
        *,
        fail_if_match: Sequence[BoundaryItem] | None,
        after: Position | None = None,
    ) -> BoundaryAppend:
        await give_way()
        return BoundaryAppend(self.log.append_if(events, fail_if_match, after))


def _pages(indices: range) -> Iterator[range]:
    for first in range(0, len(indices), PAGE_EVENTS):
        yield indices[first : first + PAGE_EVENTS]
