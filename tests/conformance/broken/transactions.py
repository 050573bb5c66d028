"""A memory store whose clients may hold transactions open: sound, for faults to be built in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import ClassVar

from harness.domain.store import AppendResult, Position
from harness.stores.memory.store import MemoryStore

SCALE = 1000
"""Room for places between those of events."""


@dataclass
class State:
    """What all connections to a namespace share, except the log."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    places: dict = field(default_factory=dict)
    hidden: set = field(default_factory=set)
    open: int = 0
    wall: int | None = None


class Transaction:
    """Takes the writers' lock with its first append, and writes when it commits."""

    def __init__(self, store):
        self.store = store
        self.pending = None
        self.place = None
        self.ended = False

    async def begin(self, *, early):
        """Nothing is decided before the first append."""

    async def append(self, stream, events, *, expected):
        await self.store.state.lock.acquire()
        self.pending = (stream, events, expected)
        return self.promised(stream, events)

    def promised(self, stream, events):
        head = len(self.store.log.streams.get(stream, ())) - 1
        return AppendResult(head + len(events), None)

    async def commit(self):
        if self.pending:
            stream, events, expected = self.pending
            self.store.log.append(stream, events, expected)
            if self.place is not None:
                self.store.state.places |= {event.id: self.place for event in events}
        self.end()

    async def roll_back(self):
        self.end()

    def end(self):
        if self.ended:
            return
        self.ended = True
        self.store.state.open -= 1
        if self.pending and self.store.state.lock.locked():
            self.store.state.lock.release()


class Transactional(MemoryStore):
    """Places in the log are indices, `SCALE` apart."""

    Begun: ClassVar[type[Transaction]] = Transaction
    states: ClassVar[dict[str, State]] = {}

    @property
    def state(self):
        return self.states.setdefault(self.namespace, State())

    async def open_transaction(self, *, early=False):
        self.state.open += 1
        transaction = self.Begun(self)
        await transaction.begin(early=early)
        return transaction

    async def append(self, stream, events, *, expected):
        async with self.state.lock:
            result = await super().append(stream, events, expected=expected)
        return replace(result, position=_scaled(result.position))

    async def read_stream(self, stream, **how):
        async for event in super().read_stream(stream, **how):
            yield self._placed(event)

    async def read_all(self, *, after=None, limit=None):
        whole = bool(self.state.places)  # only then does the log differ from the order of writing
        since = None if after is None or whole else Position((after[0] // SCALE,))
        wanted = None if whole else limit
        read = super().read_all(after=since, limit=wanted)
        log = [self._placed(event) async for event in read]
        log = sorted(
            (event for event in log if after is None or event.position > after),
            key=lambda event: event.position,
        )
        for event in log[:limit]:
            if self.state.wall is not None and event.position[0] >= self.state.wall:
                return
            if event.id not in self.state.hidden:
                yield event

    async def subscribe(self, *, after=None, category=None):
        if after is not None and after != Position.NOW:
            after = Position((after[0] // SCALE,))
        async for event in super().subscribe(after=after, category=category):
            yield replace(event, position=_scaled(event.position))

    def _placed(self, event):
        place = self.state.places.get(event.id)
        position = _scaled(event.position) if place is None else Position((place,))
        return replace(event, position=position)


def _scaled(position):
    return Position((position[0] * SCALE,))
