"""Stores that append, number, compare or keep events wrongly: one fault each."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from uuid import uuid4

from harness.domain.errors import EmptyAppend, WrongExpectedVersion
from harness.domain.store import AppendResult, NewEvent, StreamState
from harness.stores._shared.append_rules import original, require_expected
from harness.stores._shared.waiting import give_way
from harness.stores.memory.store import GUARANTEES, MemoryStore

ANY = StreamState.ANY


class IgnoresExpectations(MemoryStore):
    async def append(self, stream, events, *, expected):
        return await super().append(stream, events, expected=ANY)


class TakesMinusOneForAny(MemoryStore):
    async def append(self, stream, events, *, expected):
        return await super().append(stream, events, expected=ANY if expected == -1 else expected)


class ChecksThenWrites(MemoryStore):
    """The tutorial's optimistic concurrency: look, wait, write."""

    async def append(self, stream, events, *, expected):
        require_expected(stream, expected, self.log.head(stream))
        await give_way()
        return await super().append(stream, events, expected=ANY)


class LocksOptimistically(MemoryStore):
    """ANY is turned into the head seen last, so that concurrent appends conflict."""

    async def append(self, stream, events, *, expected):
        if expected is ANY:
            expected = len(self.log.streams.get(stream, ())) - 1
            expected = StreamState.NO_STREAM if expected < 0 else expected
        return await super().append(stream, events, expected=expected)


class KeepsTheActualVersionToItself(MemoryStore):
    async def append(self, stream, events, *, expected):
        try:
            return await super().append(stream, events, expected=expected)
        except WrongExpectedVersion as conflict:
            raise WrongExpectedVersion(stream, expected, None) from conflict


class CountsFromOne(MemoryStore):
    async def append(self, stream, events, *, expected):
        result = await super().append(stream, events, expected=expected)
        return replace(result, version=result.version + 1)


class DropsTheLastOfABatch(MemoryStore):
    async def append(self, stream, events, *, expected):
        kept = events[:-1] if len(events) > 1 else events
        return await super().append(stream, kept, expected=expected)


class TearsBatches(MemoryStore):
    """An append of its own for each event."""

    async def append(self, stream, events, *, expected):
        if not events:
            raise EmptyAppend("")
        for event in events:
            result = await super().append(stream, [event], expected=expected)
            expected = result.version if expected is not ANY else ANY
        return result


class AcknowledgesNothing(MemoryStore):
    async def append(self, stream, events, *, expected):
        if not events:
            return AppendResult(-1, None)
        return await super().append(stream, events, expected=expected)


class EmptiesTheCallersBatch(MemoryStore):
    async def append(self, stream, events, *, expected):
        copy = list(events)
        if isinstance(events, list):
            events.clear()
        return await super().append(stream, copy, expected=expected)


class LosesEveryTenth(MemoryStore):
    """Acknowledged, not written."""

    def __init__(self, namespace):
        super().__init__(namespace)
        self.numbers = count(1)

    async def append(self, stream, events, *, expected):
        if next(self.numbers) % 10 == 0:
            head = len(self.log.streams.get(stream, ())) - 1
            return AppendResult(head + len(events), None)
        return await super().append(stream, events, expected=expected)


class ForgetsIds(MemoryStore):
    async def append(self, stream, events, *, expected):
        self.log.by_id.clear()
        return await super().append(stream, events, expected=expected)


class LooksBeforeItLeaps(MemoryStore):
    """Looks ids up, waits, and writes without looking again."""

    async def append(self, stream, events, *, expected):
        original(stream, events, self.log.known(events))
        await give_way()
        self.log.by_id.clear()
        return self.log.append(stream, events, expected)


class ChecksVersionsFirst(MemoryStore):
    async def append(self, stream, events, *, expected):
        require_expected(stream, expected, self.log.head(stream))
        return await super().append(stream, events, expected=expected)


class AnswersRetriesWithTheHead(MemoryStore):
    async def append(self, stream, events, *, expected):
        result = await super().append(stream, events, expected=expected)
        return replace(result, version=len(self.log.streams[stream]) - 1)


class ComparesIdsAlone(MemoryStore):
    async def append(self, stream, events, *, expected):
        known = self.log.known(events)
        if known and all(known):
            return AppendResult(known[-1].version, known[-1].position)
        return await super().append(stream, events, expected=expected)


class AcceptsTwins(MemoryStore):
    async def append(self, stream, events, *, expected):
        if len(events) > 1 and len({event.id for event in events}) == 1:
            events = events[:1]
        return await super().append(stream, events, expected=expected)


class HalfRetries(MemoryStore):
    """Declares no idempotency, and writes but the first event of a retry again."""

    @classmethod
    def declares(cls, options):
        return replace(GUARANTEES, idempotency="none")

    async def append(self, stream, events, *, expected):
        if events and events[0].id.int in self.log.by_id:
            events = [replace(events[0], id=uuid4())]
        return await super().append(stream, events, expected=expected)


class ForgetsItsWindow(ForgetsIds):
    """Declares that it recognises retries for a while, and never does."""

    @classmethod
    def declares(cls, options):
        return replace(GUARANTEES, idempotency="window")

    async def append(self, stream, events, *, expected):
        return await super().append(stream, events, expected=ANY)


class Changes(MemoryStore):
    """Base of stores that change events on their way in."""

    def changed(self, event: NewEvent) -> NewEvent:
        raise NotImplementedError

    async def append(self, stream, events, *, expected):
        changed = [self.changed(event) for event in events]
        return await super().append(stream, changed, expected=expected)


class CutsPayloads(Changes):
    def changed(self, event):
        return replace(event, data=event.data[:8192])


class ReencodesJson(Changes):
    def changed(self, event):
        data, metadata = (
            json.dumps(json.loads(field)).encode() for field in (event.data, event.metadata)
        )
        return replace(event, data=data, metadata=metadata)


class EndsAtNul(Changes):
    def changed(self, event):
        data, metadata = (field.partition(b"\x00")[0] for field in (event.data, event.metadata))
        return replace(event, data=data, metadata=metadata)


class FillsInMetadata(Changes):
    def changed(self, event):
        return replace(event, metadata=event.metadata or b"{}")


class CutsTypes(Changes):
    def changed(self, event):
        return replace(event, type=event.type[:100])


class FoldsStreamNames(MemoryStore):
    async def append(self, stream, events, *, expected):
        return await super().append(stream.casefold(), events, expected=expected)


class CutsStreamNames(MemoryStore):
    async def append(self, stream, events, *, expected):
        kept = stream.encode("utf-8", "replace").decode().partition("\x00")[0][:255]
        return await super().append(kept, events, expected=expected)
