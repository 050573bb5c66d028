"""Stores whose subscribers miss, repeat, stall or hoard events."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict, deque
from dataclasses import replace
from typing import ClassVar

from harness.domain.store import Position, category_of
from harness.stores._shared.waiting import give_way
from harness.stores.memory.store import MemoryStore

from .machine import Served


class HasAGapBetweenCatchUpAndLive(MemoryStore):
    """Reads to the head, and then listens after a head that has moved on."""

    async def subscribe(self, *, after=None, category=None):
        last = after
        async for event in self.read_all(after=after):
            last = event.position
            if category is None or category_of(event.stream) == category:
                yield event
        await asyncio.sleep(0.02)
        last = Position((len(self.log) - 1,)) if len(self.log) > 60 else last
        async for event in super().subscribe(after=last, category=category):
            yield event


class ResumesAtItsCheckpoint(MemoryStore):
    """The event of the checkpoint comes again."""

    def subscribe(self, *, after=None, category=None):
        if after is not None and after != Position.NOW:
            after = Position((after[0] - 1,)) if after[0] > 0 else None
        return super().subscribe(after=after, category=category)


class SavesCheckpointsBeforeTheHandler(MemoryStore):
    """The checkpoint advances when an event is delivered."""

    async def subscribe(self, *, after=None, category=None):
        async for event in super().subscribe(after=after, category=category):
            self.log.checkpoints[event.stream] = event.position
            yield event


class MovesCheckpointsOn(MemoryStore):
    """Saved is where the log ends, not where the handler is."""

    async def load_checkpoint(self, subscriber):
        saved = await super().load_checkpoint(subscriber)
        return saved and Position((saved[0] + 1,))


class WakesLate(MemoryStore):
    """A slow poll, sold as push."""

    async def subscribe(self, *, after=None, category=None):
        if after == Position.NOW:
            after = Position((len(self.log) - 1,))
        while True:
            async for event in self.read_all(after=after):
                after = event.position
                if category is None or category_of(event.stream) == category:
                    yield event
            await asyncio.sleep(1.8)


class HoardsForSlowConsumers(MemoryStore):
    """A task reads on, whether or not anybody takes what it has read."""

    async def subscribe(self, *, after=None, category=None):
        read, more = deque(), asyncio.Event()

        async def read_on():
            async for event in super(HoardsForSlowConsumers, self).subscribe(
                after=after, category=category
            ):
                read.append(replace(event))
                more.set()

        reading = asyncio.create_task(read_on())
        try:
            while True:
                while read:
                    yield read.popleft()
                more.clear()
                await more.wait()
        finally:
            reading.cancel()


class DropsWhatSlowConsumersDontTake(MemoryStore):
    """After half a second, the oldest thousand are dropped."""

    async def subscribe(self, *, after=None, category=None):
        delivered = time.monotonic()
        skip = 0
        async for event in super().subscribe(after=after, category=category):
            if time.monotonic() - delivered > 0.4 and len(self.log) - event.position[0] > 1_500:
                skip = 1_000
            delivered = time.monotonic()
            if skip:
                skip -= 1
                continue
            yield event


class GoesDeafAfterARestart(Served):
    """The subscription neither ends nor goes on."""

    async def subscribe(self, *, after=None, category=None):
        restarts = self.machine.restarts
        async for event in MemoryStore.subscribe(self, after=after, category=category):
            if self.machine.restarts != restarts:
                await asyncio.Event().wait()
            yield event


class SharesOneCursor(MemoryStore):
    """While several subscribe, what one of them got the others do not get."""

    cursors: ClassVar = defaultdict(set)
    subscribers: ClassVar = Counter()

    async def subscribe(self, *, after=None, category=None):
        taken = self.cursors[self.namespace]
        self.subscribers[self.namespace] += 1
        try:
            async for event in super().subscribe(after=after, category=category):
                if self.subscribers[self.namespace] > 1 and event.id in taken:
                    continue
                taken.add(event.id)
                yield event
        finally:
            self.subscribers[self.namespace] -= 1
            taken.clear()


class TakesPrefixesForCategories(MemoryStore):
    """LIKE 'shop%'."""

    async def subscribe(self, *, after=None, category=None):
        async for event in super().subscribe(after=after):
            if event.stream.startswith(category or ""):
                yield event


class CategoriesMissThePast(MemoryStore):
    """A subscription to a category begins with what comes."""

    async def subscribe(self, *, after=None, category=None):
        begins = Position.NOW if category is not None and after is None else after
        async for event in super().subscribe(after=begins, category=category):
            yield event


class TakesPrefixesInThePast(MemoryStore):
    """LIKE 'shop%' in catch-up; what is pushed is filtered rightly."""

    async def subscribe(self, *, after=None, category=None):
        end = len(self.log)
        async for event in super().subscribe(after=after):
            is_past = event.position[0] < end and event.stream.startswith(category or "")
            if category is None or is_past or category_of(event.stream) == category:
                yield event


class StopsSilentlyAfterAnError(MemoryStore):
    """The page after the seventieth event cannot be read, and no error says so."""

    async def subscribe(self, *, after=None, category=None):
        delivered = 0
        async for event in super().subscribe(after=after, category=category):
            yield event
            delivered += 1
            if delivered == 70:
                await asyncio.Event().wait()


class TellsSubscribersNoVersions(MemoryStore):
    async def subscribe(self, *, after=None, category=None):
        async for event in super().subscribe(after=after, category=category):
            yield replace(event, version=0)


class TurnsRoundWhatCameMeanwhile(MemoryStore):
    """Events appended during catch-up are delivered newest first."""

    async def subscribe(self, *, after=None, category=None):
        last = after
        for turned in (False, True):
            page = [event async for event in self.read_all(after=last)]
            last = page[-1].position if page else last
            for event in reversed(page) if turned else page:
                if category is None or category_of(event.stream) == category:
                    yield event
        async for event in super().subscribe(after=last, category=category):
            yield event


class HoardsRows(MemoryStore):
    """A task reads on and keeps what it reads as bytes, not as recorded events."""

    async def subscribe(self, *, after=None, category=None):
        rows, more = deque(), asyncio.Event()

        async def read_on():
            async for event in super(HoardsRows, self).subscribe(after=after, category=category):
                rows.append((event.position[0], event.data + b" "))
                more.set()

        reading = asyncio.create_task(read_on())
        try:
            while True:
                while rows:
                    yield self.log[rows.popleft()[0]]
                more.clear()
                await more.wait()
        finally:
            reading.cancel()


class KeepsCheckpointsInItsConnection(MemoryStore):
    """A cache that nobody else sees."""

    def __init__(self, namespace):
        super().__init__(namespace)
        self.checkpoints = {}

    async def load_checkpoint(self, subscriber):
        return self.checkpoints.get(subscriber)

    async def save_checkpoint(self, subscriber, position):
        self.checkpoints[subscriber] = position


class GapOfOneTurn(MemoryStore):
    """Reads until nothing comes, and then listens from now on: one turn of the loop between."""

    chance: ClassVar = "that an append falls into that turn"

    async def subscribe(self, *, after=None, category=None):
        last, more = after, True
        while more:
            more = False
            async for event in self.read_all(after=last):
                last, more = event.position, True
                if category is None or category_of(event.stream) == category:
                    yield event
        await give_way()
        async for event in super().subscribe(after=Position.NOW, category=category):
            yield event


class NowIsTheBeginning(MemoryStore):
    def subscribe(self, *, after=None, category=None):
        begins = None if after == Position.NOW else after
        return super().subscribe(after=begins, category=category)


class BlocksBehindTheSlowest(MemoryStore):
    """Fan-out through one buffer of five hundred: everybody waits for the slowest."""

    places: ClassVar = defaultdict(dict)

    async def subscribe(self, *, after=None, category=None):
        mine, key = self.places[self.namespace], object()
        mine[key] = self.log.index_after(after) - 1
        try:
            async for event in super().subscribe(after=after):
                while min(mine.values()) < event.position[0] - 500:  # noqa: ASYNC110 - many wait
                    await asyncio.sleep(0.005)
                mine[key] = event.position[0]
                if category is None or category_of(event.stream) == category:
                    yield event
        finally:
            mine.pop(key, None)


class HoardsOnceItHasBegun(MemoryStore):
    """Begins late to hand anything over, and hoards from then on."""

    async def subscribe(self, *, after=None, category=None):
        await asyncio.sleep(1.5)
        async for event in HoardsForSlowConsumers.subscribe(self, after=after, category=category):
            yield event


class SharesOneCheckpoint(MemoryStore):
    """Whoever saves last."""

    async def load_checkpoint(self, subscriber):
        return await super().load_checkpoint("the subscriber")

    async def save_checkpoint(self, subscriber, position):
        await super().save_checkpoint("the subscriber", position)


class CutsCheckpointNames(MemoryStore):
    """The part after a separator is cut from the name."""

    async def load_checkpoint(self, subscriber):
        return await super().load_checkpoint(subscriber.rpartition("-")[0] or subscriber)

    async def save_checkpoint(self, subscriber, position):
        await super().save_checkpoint(subscriber.rpartition("-")[0] or subscriber, position)


class FoldsCheckpointNames(MemoryStore):
    async def load_checkpoint(self, subscriber):
        return await super().load_checkpoint(subscriber.casefold())

    async def save_checkpoint(self, subscriber, position):
        await super().save_checkpoint(subscriber.casefold(), position)
