"""What the sequencer remembers of the log and of the streams: heads and their newest ids."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from harness.errors import EventIdReused, WrongExpectedVersion
from harness.store import ExpectedVersion, NewEvent, StreamState
from harness.stores.dynamodb.event_items import IDS_LOOKED_UP

STREAMS_MAX = 100_000
"""Remembered at once; what is forgotten is read again."""


@dataclass(slots=True)
class Tail:
    """The head of a stream, -1 where there is none, and the versions of its newest events."""

    head: int
    known: dict[UUID, int] = field(default_factory=dict)

    def check(self, stream: str, expected: ExpectedVersion) -> None:
        """Raise `WrongExpectedVersion` if the stream is not as expected."""
        match expected:
            case StreamState.ANY:
                holds = True
            case StreamState.EXISTS:
                holds = self.head >= 0
            case StreamState.NO_STREAM:
                holds = self.head < 0
            case version:
                holds = self.head == version
        if not holds:
            raise WrongExpectedVersion(stream, expected, self.head if self.head >= 0 else None)

    def original(self, stream: str, events: Sequence[NewEvent]) -> int | None:
        """Where the last of these events is, if all of them stand in a row; contents aside."""
        versions = [self.known[event.id] for event in events if event.id in self.known]
        if not versions:
            return None
        if versions == list(range(versions[0], versions[0] + len(events))):
            return versions[-1]
        raise EventIdReused(f"stream {stream!r}: an event id was written before, differently")

    def grow(self, events: Sequence[NewEvent]) -> None:
        """These events were written."""
        for event in events:
            self.head += 1
            self.known[event.id] = self.head
        while len(self.known) > IDS_LOOKED_UP:
            del self.known[next(iter(self.known))]

    def copy(self) -> Tail:
        """To try something on."""
        return Tail(self.head, dict(self.known))


class Source(Protocol):
    """Where tails are read from."""

    async def newest(self, stream: str) -> tuple[int | None, dict[UUID, int]]:
        """The head's version, and the versions of the newest events by id, newest first."""
        ...


class Tails:
    """The streams' tails, read when first needed."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._tails: OrderedDict[str, Tail] = OrderedDict()

    async def of(self, streams: Iterable[str]) -> dict[str, Tail]:
        """Copies, which become true with `keep`. Missing ones are read side by side."""
        wanted = list(dict.fromkeys(streams))
        missing = [stream for stream in wanted if stream not in self._tails]
        await asyncio.gather(*map(self._read, missing))
        return {stream: self._tails[stream].copy() for stream in wanted}

    def keep(self, tails: dict[str, Tail]) -> None:
        """These are true now."""
        for stream, tail in tails.items():
            self._tails[stream] = tail
            self._tails.move_to_end(stream)
        while len(self._tails) > STREAMS_MAX:
            self._tails.popitem(last=False)

    def forget(self) -> None:
        """Somebody else wrote, or nobody knows what was written."""
        self._tails.clear()

    async def _read(self, stream: str) -> None:
        head, known = await self._source.newest(stream)
        oldest_first = dict(reversed(known.items()))
        self._tails[stream] = Tail(-1 if head is None else head, oldest_first)
