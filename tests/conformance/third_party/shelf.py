"""An event store in a dictionary: versions are checked, retries are not recognised."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime

from harness.domain.durability import Durability
from harness.domain.errors import (
    EmptyAppend,
    StreamNotFound,
    UnsupportedByStore,
    WrongExpectedVersion,
)
from harness.domain.store import (
    AppendResult,
    Guarantees,
    Position,
    RecordedEvent,
    StoreOptions,
    StreamState,
)

_SHELVES: dict[str, list[RecordedEvent]] = defaultdict(list)


class ShelfOptions(StoreOptions):
    """None."""


class ShelfStore:
    """One list a namespace."""

    def __init__(self, shelf):
        self.shelf = shelf

    @classmethod
    def declares(cls, options):
        return Guarantees(
            occ="native",
            atomic_append=True,
            global_order="total",
            gap_free_read=True,
            idempotency="none",
            stream_read="scan",
            subscription="none",
            append_only="by-convention",
            durability=Durability.MEMORY,
            writers="one",
        )

    @staticmethod
    def durability_of(settings):
        return Durability.MEMORY

    @classmethod
    async def connect(cls, endpoint, options):
        return cls(_SHELVES[endpoint.namespace])

    async def setup(self):
        """Nothing to make."""

    async def teardown(self):
        self.shelf.clear()

    async def settings(self):
        return {}

    async def aclose(self):
        """Nothing to close."""

    async def append(self, stream, events, *, expected):
        if not events:
            raise EmptyAppend("no events")
        await asyncio.sleep(0)
        head = len(self._of(stream)) - 1
        holds = {
            StreamState.ANY: True,
            StreamState.NO_STREAM: head < 0,
            StreamState.EXISTS: head >= 0,
        }
        if not holds.get(expected, head == expected):
            raise WrongExpectedVersion(stream, expected, head if head >= 0 else None)
        now = datetime.now(UTC)
        for version, event in enumerate(events, head + 1):
            place = Position((len(self.shelf),))
            self.shelf.append(
                RecordedEvent(
                    event.id, stream, version, place, event.type, event.data, event.metadata, now
                )
            )
        return AppendResult(head + len(events), self.shelf[-1].position)

    async def read_stream(self, stream, *, start=0, limit=None, backwards=False):
        found = self._of(stream)
        if not found:
            raise StreamNotFound(stream)
        for event in found[start:][:: -1 if backwards else 1][:limit]:
            yield event

    async def read_all(self, *, after=None, limit=None):
        for event in self.shelf[after[0] + 1 if after else 0 :][:limit]:
            yield event

    def subscribe(self, *, after=None, category=None):
        raise UnsupportedByStore("nobody can wait at a shelf")

    def _of(self, stream):
        return [event for event in self.shelf if event.stream == stream]
