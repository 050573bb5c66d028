"""Stores that number, order or page wrongly."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from harness.domain.store import Position, StreamState
from harness.stores._shared.waiting import give_way
from harness.stores.memory.store import MemoryStore

from .transactions import SCALE, Transaction, Transactional

ANY = StreamState.ANY


class LeavesGapsInVersions(MemoryStore):
    """After every tenth event of a stream."""

    async def read_stream(self, stream, **how):
        async for event in super().read_stream(stream, **how):
            yield replace(event, version=event.version + event.version // 10)


class CountsFromOne(MemoryStore):
    async def append(self, stream, events, *, expected):
        result = await super().append(stream, events, expected=expected)
        return replace(result, version=result.version + 1)


class TellsTheLogsBeginning(MemoryStore):
    """As the position of whatever was appended."""

    async def append(self, stream, events, *, expected):
        result = await super().append(stream, events, expected=expected)
        return replace(result, position=Position((0,)))


class ReversesLongBatches(MemoryStore):
    async def append(self, stream, events, *, expected):
        ordered = events if len(events) < 10 else events[::-1]
        return await super().append(stream, ordered, expected=expected)


def _is_new(log, events):
    """Whether the events are many, and none is known or there twice."""
    ids = {event.id.int for event in events}
    return len(ids) == len(events) > 1 and not any(each in log.by_id for each in ids)


class WritesLargeBatchesInTwo(MemoryStore):
    """What is larger than a packet is sent as two, and others come between."""

    packet = 65_536

    async def append(self, stream, events, *, expected):
        half, size = len(events) // 2, sum(len(event.data) for event in events)
        if size > self.packet and _is_new(self.log, events):
            await super().append(stream, events[:half], expected=expected)
            return await super().append(stream, events[half:], expected=ANY)
        return await super().append(stream, events, expected=expected)


class WritesVeryLargeBatchesInTwo(WritesLargeBatchesInTwo):
    packet = 1_048_576


class CutsLargeBatches(MemoryStore):
    """After a megabyte, and a good answer."""

    async def append(self, stream, events, *, expected):
        size = kept = 0
        for event in events:
            size += len(event.data)
            kept += size <= 1_048_576 or not kept
        return await super().append(stream, events[:kept], expected=expected)


class ShowsBatchesInHalves(MemoryStore):
    """One append at a time, and a reader may come by in the middle of it."""

    turns: ClassVar = defaultdict(asyncio.Lock)

    async def append(self, stream, events, *, expected):
        async with self.turns[self.namespace]:
            half = len(events) // 2
            plain = all(event.type.isascii() for event in events)
            if plain and len(events) >= 20 and _is_new(self.log, events):
                await super().append(stream, events[:half], expected=expected)
                await give_way()
                return await super().append(stream, events[half:], expected=ANY)
            return await super().append(stream, events, expected=expected)


class MissesSomeOfWhatIsNew(MemoryStore):
    """One event in 200 is not there yet when a reader comes by, and the reader goes on."""

    chance = random.Random("late")

    async def read_all(self, *, after=None, limit=None):
        async for event in super().read_all(after=after, limit=limit):
            if after is None or self.chance.random() > 0.005:
                yield event


class InvertsPairs(MemoryStore):
    """Once in 50, an event of a stream is read before the one that it followed at once."""

    async def read_all(self, *, after=None, limit=None):
        held = None
        async for event in super().read_all(after=after, limit=limit):
            swaps = held is not None and held.position[0] % 50 == 0
            if swaps and held.stream == event.stream:
                yield event
                continue
            if held is not None:
                yield held
            held = event
        if held is not None:
            yield held


class OrdersByWallClock(MemoryStore):
    """Within what is read at a time, and clocks differ by a millisecond."""

    async def read_all(self, *, after=None, limit=None):
        log = [event async for event in super().read_all(after=after, limit=limit)]
        for event in sorted(log, key=_by_its_clock):
            yield event


def _by_its_clock(event):
    skew = random.Random(event.id.int).uniform(-1, 1)
    return event.recorded_at + timedelta(milliseconds=skew)


class CountsFromOneInItsLog(MemoryStore):
    async def read_all(self, **how):
        async for event in super().read_all(**how):
            yield replace(event, version=event.version + 1)


class SkipsLateCommits(Transactional):
    """Places are given out when events are written, not when they are committed."""

    class Begun(Transaction):
        async def append(self, stream, events, *, expected):
            self.place = len(self.store.log) * SCALE - SCALE // 2
            self.pending = (stream, events, expected)
            return self.promised(stream, events)


class InvertsEarlyStarters(Transactional):
    """The place in the log is that of the transaction's beginning."""

    class Begun(Transaction):
        async def begin(self, *, early):
            if early:
                self.place = len(self.store.log) * SCALE - SCALE // 2


class LosesWhatIsWrittenBesideATransaction(Transactional):
    async def append(self, stream, events, *, expected):
        result = await super().append(stream, events, expected=expected)
        if self.state.open > 0:
            self.state.hidden |= {event.id for event in events}
        return result


class StallsBehindARollback(Transactional):
    """Readers wait for the place that was never filled."""

    class Begun(Transaction):
        async def roll_back(self):
            if self.pending and not self.ended:
                self.store.state.wall = len(self.store.log) * SCALE
            await super().roll_back()


class KeepsWhatWasRolledBack(Transactional):
    """In its stream; the log does not have it."""

    class Begun(Transaction):
        async def roll_back(self):
            if self.pending and not self.ended:
                self.store.state.hidden |= {event.id for event in self.pending[1]}
                self.store.log.append(*self.pending)
            await super().roll_back()


class TakesLimitsFromTheOtherEnd(MemoryStore):
    """When it reads backwards."""

    async def read_stream(self, stream, *, start=0, limit=None, backwards=False):
        if not backwards:
            async for event in super().read_stream(stream, start=start, limit=limit):
                yield event
            return
        oldest = [event async for event in super().read_stream(stream, start=start, limit=limit)]
        for event in reversed(oldest):
            yield event


class ForgetsTheStartBackwards(MemoryStore):
    """After a page of a hundred, it reads on to the stream's beginning."""

    async def read_stream(self, stream, *, start=0, limit=None, backwards=False):
        length = len(self.log.streams.get(stream, ()))
        begins = 0 if backwards and length - start > 100 and start < length else start
        async for event in super().read_stream(
            stream, start=begins, limit=limit, backwards=backwards
        ):
            yield event


class RepeatsAnEventBetweenPages(MemoryStore):
    """Of 256 events, when it reads backwards from a start."""

    async def read_stream(self, stream, *, start=0, limit=None, backwards=False):
        count = 0
        async for event in super().read_stream(
            stream, start=start, limit=limit, backwards=backwards
        ):
            yield event
            count += 1
            if backwards and start and count == 256:
                yield event


class CutsLimitsOfItsLog(MemoryStore):
    """To 256 events."""

    async def read_all(self, *, after=None, limit=None):
        limit = None if limit is None else min(limit, 256)
        async for event in super().read_all(after=after, limit=limit):
            yield event


class StopsAtAMegabyte(MemoryStore):
    async def read_stream(self, stream, **how):
        size = 0
        async for event in super().read_stream(stream, **how):
            yield event
            size += len(event.data)
            if size > 1_000_000:
                return


class StopsAtAThousandEvents(MemoryStore):
    """One page of the stream, and no word of a next one."""

    async def read_stream(self, stream, *, start=0, limit=None, backwards=False):
        page = 1000 if limit is None else min(limit, 1000)
        async for event in super().read_stream(
            stream, start=start, limit=page, backwards=backwards
        ):
            yield event


class DropsTheFirstOfLongStreams(MemoryStore):
    """Beyond 500 events, as a topic with a limit does."""

    async def read_stream(self, stream, *, start=0, **how):
        kept = 1 if len(self.log.streams.get(stream, ())) > 500 else 0
        async for event in super().read_stream(stream, start=max(start, kept), **how):
            yield event


class EndsItsLogAtAMegabyte(MemoryStore):
    """A page of the log, and nobody asks for the next."""

    async def read_all(self, *, after: Position | None = None, limit=None):
        size = 0
        async for event in super().read_all(after=after, limit=limit):
            yield event
            size += len(event.data)
            if size > 2_900_000:
                return
