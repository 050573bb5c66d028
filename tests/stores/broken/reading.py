"""Stores that read, subscribe, set up or remember wrongly: one fault each."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from harness.domain.errors import ReadFailed, StreamNotFound
from harness.domain.store import Position
from harness.stores.memory.store import MemoryStore


class IgnoresLimits(MemoryStore):
    def read_stream(self, stream, *, start=0, limit=None, backwards=False):
        return super().read_stream(stream, start=start, backwards=backwards)


class FindsEveryStream(MemoryStore):
    async def read_stream(self, stream, **how):
        if stream in self.log.streams:
            async for event in super().read_stream(stream, **how):
                yield event


class ReadsOnePage(MemoryStore):
    def read_stream(self, stream, *, start=0, limit=None, backwards=False):
        limit = min(1000, limit or 1000)
        return super().read_stream(stream, start=start, limit=limit, backwards=backwards)


class RunsOutOfReaders(MemoryStore):
    """A reader or subscriber that does not come to its end is never given back."""

    def __init__(self, namespace):
        super().__init__(namespace)
        self.taken = 0

    async def _lent(self, reading):
        if self.taken == 10:
            raise ReadFailed("no reader is left")
        self.taken += 1
        async for event in reading:
            yield event
        self.taken -= 1

    def read_stream(self, stream, **how):
        return self._lent(super().read_stream(stream, **how))

    def subscribe(self, **how):
        return self._lent(super().subscribe(**how))


class ReadsAfterItself(MemoryStore):
    """A read that goes on for as long as somebody appends."""

    async def read_stream(self, stream, **how):
        for event in self.log.streams[stream]:
            yield event


class DoublesTheLog(MemoryStore):
    async def read_all(self, **how):
        async for event in super().read_all(**how):
            yield event
            if event.version == 2:
                yield event


class LogsWithoutMetadata(MemoryStore):
    async def read_all(self, **how):
        async for event in super().read_all(**how):
            yield replace(event, metadata=b"")


class MissesAnEmptyLog(MemoryStore):
    async def read_all(self, **how):
        if not len(self.log):
            raise StreamNotFound("$all")
        async for event in super().read_all(**how):
            yield event


def _one_back(after):
    return after and (Position((after[0] - 1,)) if after[0] > 0 else None)


class ResumesInclusively(MemoryStore):
    def read_all(self, *, after=None, limit=None):
        return super().read_all(after=_one_back(after), limit=limit)

    def subscribe(self, *, after=None, category=None):
        return super().subscribe(after=_one_back(after), category=category)


class SkipsAPageBoundary(MemoryStore):
    def read_all(self, *, after=None, limit=None):
        after = Position((after[0] + 1,)) if after and limit == 4 else after
        return super().read_all(after=after, limit=limit)


class StopsAtTheHead(MemoryStore):
    def subscribe(self, *, after=None, category=None):
        return self.read_all(after=after)


class IgnoresNow(MemoryStore):
    def subscribe(self, *, after=None, category=None):
        return super().subscribe(after=None if after == Position.NOW else after, category=category)


class TakesPrefixesForCategories(MemoryStore):
    async def subscribe(self, *, after=None, category=None):
        async for event in super().subscribe(after=after):
            if event.stream.startswith(category or ""):
                yield event


class RestartsCategories(MemoryStore):
    def subscribe(self, *, after=None, category=None):
        return super().subscribe(after=None if category else after, category=category)


class SharesOneCursor(MemoryStore):
    """What one subscriber got, the other does not get."""

    def __init__(self, namespace):
        super().__init__(namespace)
        self.taken = set()

    async def subscribe(self, **how):
        async for event in super().subscribe(**how):
            if event.id not in self.taken:
                self.taken.add(event.id)
                yield event


class DozesOff(MemoryStore):
    async def subscribe(self, **how):
        async for event in super().subscribe(**how):
            await asyncio.sleep(30)
            yield event


class SkipsInSubscriptions(MemoryStore):
    async def subscribe(self, **how):
        async for event in super().subscribe(**how):
            if event.position[0] % 20 != 10:
                yield event


class KeepsLocalTime(MemoryStore):
    async def read_all(self, **how):
        async for event in super().read_all(**how):
            local = event.recorded_at.astimezone().replace(tzinfo=event.recorded_at.tzinfo)
            yield replace(event, recorded_at=local)


class KeepsEverything(MemoryStore):
    async def teardown(self):
        """Forgotten."""


class HasOneNamespace(MemoryStore):
    def __init__(self, namespace):
        super().__init__("eslab")


class KeepsToItself(MemoryStore):
    """A log for each connection."""

    def __init__(self, namespace):
        super().__init__(f"{namespace}-{id(self)}")


class SaysNothingOfItsVersion(MemoryStore):
    async def settings(self):
        return {"version": ""}


class KeepsTheFirstCheckpoint(MemoryStore):
    async def save_checkpoint(self, subscriber, position):
        self.log.checkpoints.setdefault(subscriber, position)


class KeepsAnySnapshot(MemoryStore):
    async def save_snapshot(self, snapshot):
        self.log.snapshots[snapshot.stream] = snapshot


class CanBeTamperedWith(MemoryStore):
    async def overwrite(self, stream, version, data):
        events = self.log.streams[stream]
        events[version] = replace(events[version], data=data)
        return True
