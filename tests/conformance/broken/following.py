"""Stores whose subscriptions break after many events, or while many writers append."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import ClassVar

from harness.domain.errors import ReadFailed, StoreUnavailable
from harness.domain.store import Position, category_of
from harness.stores.memory.store import MemoryStore

from .machine import Served


class LosesItsFiveThousandth(MemoryStore):
    async def subscribe(self, *, after=None, category=None):
        delivered = 0
        async for event in super().subscribe(after=after, category=category):
            delivered += 1
            if delivered != 5_000:
                yield event


class KeepsFourThousandForTheSlow(MemoryStore):
    """The buffer of a subscriber that is slow drops its oldest."""

    async def subscribe(self, *, after=None, category=None):
        begun, skipped_to = len(self.log), 0
        async for event in super().subscribe(after=after, category=category):
            place = event.position[0]
            if place >= begun and len(self.log) - place > 4_096:
                skipped_to = max(skipped_to, len(self.log) - 4_096)
            if place < begun or place >= skipped_to:
                yield event


class CatchesUpOnAThousand(MemoryStore):
    """The past is its first thousand events."""

    async def subscribe(self, *, after=None, category=None):
        delivered, end = 0, len(self.log)
        async for event in super().subscribe(after=after, category=category):
            delivered += 1
            if event.position[0] >= end or delivered <= 1_000:
                yield event


class PassesOverLateCommits(MemoryStore):
    """A long append is committed after later ones; the log waits for it, subscribers do not."""

    open: ClassVar = defaultdict(set)

    async def append(self, stream, events, *, expected):
        result = await super().append(stream, events, expected=expected)
        if len(events) > 10:
            writing = {event.id for event in events}
            self.open[self.namespace] |= writing
            await asyncio.sleep(0.002)
            self.open[self.namespace] -= writing
        return result

    async def subscribe(self, *, after=None, category=None):
        index = self.log.index_after(after)
        while True:
            end, late = len(self.log), self.open[self.namespace]
            committed = [at for at in range(index, end) if self.log[at].id not in late]
            for at in committed:
                if category is None or category_of(self.log[at].stream) == category:
                    yield self.log[at]
            index = committed[-1] + 1 if committed else index
            await asyncio.sleep(0 if committed else 0.001)


class RepeatsItsPlaceAmidAppends(MemoryStore):
    """Whoever begins while others append gets the event of its position again."""

    writing: ClassVar = defaultdict(int)

    async def append(self, stream, events, *, expected):
        self.writing[self.namespace] += 1
        try:
            return await super().append(stream, events, expected=expected)
        finally:
            self.writing[self.namespace] -= 1

    async def subscribe(self, *, after=None, category=None):
        if after is not None and after != Position.NOW and self.writing[self.namespace] > 1:
            after = Position((after[0] - 1,)) if after[0] > 0 else None
        async for event in super().subscribe(after=after, category=category):
            yield event


class EndsAfterAThousand(MemoryStore):
    async def subscribe(self, *, after=None, category=None):
        delivered = 0
        async for event in super().subscribe(after=after, category=category):
            yield event
            delivered += 1
            if delivered == 1_000:
                self.end()
                return

    def end(self):
        """In silence."""


class FailsAfterAThousand(EndsAfterAThousand):
    """The server is there, and the next page cannot be read."""

    def end(self):
        raise ReadFailed("the page cannot be decoded")


class FailsOnceAllIsDelivered(MemoryStore):
    """An error after the last of a thousand events or more, when nothing is missing."""

    async def subscribe(self, *, after=None, category=None):
        delivered = 0
        async for event in super().subscribe(after=after, category=category):
            yield event
            delivered += 1
            if delivered >= 1_000 and event.position[0] == len(self.log) - 1:
                raise ReadFailed("the next page cannot be decoded")


class LosesItsServer(MemoryStore):
    """Healthy; nobody answers once a subscription has delivered a thousand events."""

    gone: ClassVar = set()

    async def subscribe(self, *, after=None, category=None):
        delivered = 0
        async for event in super().subscribe(after=after, category=category):
            yield event
            delivered += 1
            if delivered == 1_000:
                self.gone.add(self.namespace)
                raise ReadFailed("the connection was lost")

    async def append(self, stream, events, *, expected):
        self.require_server()
        return await super().append(stream, events, expected=expected)

    async def read_all(self, *, after=None, limit=None):
        self.require_server()
        async for event in super().read_all(after=after, limit=limit):
            yield event

    def require_server(self):
        if self.namespace in self.gone:
            raise StoreUnavailable("no server answers")


class RepeatsAfterARestart(Served):
    """The event of a position comes again once the machine was restarted."""

    def subscribe(self, *, after=None, category=None):
        if after is not None and after != Position.NOW and self.machine.restarts:
            after = Position((after[0] - 1,)) if after[0] > 0 else None
        return super().subscribe(after=after, category=category)
