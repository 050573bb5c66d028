"""Stores that forget, half know or misjudge events that were sent before."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from itertools import takewhile
from uuid import uuid4

from harness.domain.errors import AppendRefused, EventIdReused, OutcomeUnknown
from harness.domain.store import AppendResult, StreamState
from harness.stores._shared.append_rules import require_expected
from harness.stores._shared.waiting import give_way
from harness.stores.memory.store import MemoryStore

from .machine import HASTE_S, Served

ANY, EXISTS = StreamState.ANY, StreamState.EXISTS


class WritesRetriesAgain(MemoryStore):
    """A retry is an append like any other, once in two times."""

    chance = random.Random("retries")

    async def append(self, stream, events, *, expected):
        known = bool(events) and events[0].id.int in self.log.by_id
        if known and self.chance.random() < 0.5:
            events = [replace(event, id=uuid4()) for event in events]
            expected = ANY
        return await super().append(stream, events, expected=expected)


class ForgetsOldIds(MemoryStore):
    """A window: what its stream got more than ten events ago is forgotten."""

    async def append(self, stream, events, *, expected):
        for old in self.log.streams.get(stream, ())[:-10]:
            self.log.by_id.pop(old.id.int, None)
        return await super().append(stream, events, expected=expected)


class ForgetsIdsBeyondAHundred(MemoryStore):
    """The same window, wide enough to be taken for all."""

    async def append(self, stream, events, *, expected):
        for old in self.log.streams.get(stream, ())[:-100]:
            self.log.by_id.pop(old.id.int, None)
        return await super().append(stream, events, expected=expected)


class ForgetsIdsBeyondFiveThousand(MemoryStore):
    """The same window, wider than most tests."""

    window = 5_000
    forgetful = frozenset(StreamState)

    async def append(self, stream, events, *, expected):
        if expected in self.forgetful:
            in_stream = self.log.streams.get(stream, ())
            for old in in_stream[: -self.window]:
                self.log.by_id.pop(old.id.int, None)
        return await super().append(stream, events, expected=expected)


class ForgetsIdsBeyondFiveThousandUnderExists(ForgetsIdsBeyondFiveThousand):
    """That window under EXISTS alone; other appends look ids up in all events."""

    forgetful = frozenset([EXISTS])


class ForgetsIdsAtARestart(Served):
    """Ids are kept apart from the log, in memory."""

    forgotten = 0

    async def append(self, stream, events, *, expected):
        if self.machine.restarts and not self.machine.killed and not type(self).forgotten:
            type(self).forgotten = 1
            self.log.by_id.clear()
        return await super().append(stream, events, expected=expected)


class Restarted(Served):
    """Base of stores whose faults show after a restart, and not after a kill."""

    def unknown(self, events, expected):
        """The events whose ids it has forgotten."""
        raise NotImplementedError

    async def append(self, stream, events, *, expected):
        if self.machine.restarts and not self.machine.killed:
            for event in self.unknown(events, expected):
                self.log.by_id.pop(event.id.int, None)
        return await super().append(stream, events, expected=expected)


class ForgetsIdsUnderAnyAtARestart(Restarted):
    """Exact versions are compared with the log; for ANY there is a cache, empty at first."""

    def unknown(self, events, expected):
        return events if expected is ANY else ()


class ForgetsIdsUnderExistsAtARestart(Restarted):
    """The same, for EXISTS."""

    def unknown(self, events, expected):
        return events if expected is EXISTS else ()


class LooksUpFirstIdsAfterARestart(Restarted):
    """A batch whose first event is new is new."""

    def unknown(self, events, expected):
        known = self.log.known(events)
        return () if known[0] else events


class LooksUpLastIdsAfterARestart(Restarted):
    """A batch whose last event is new is new."""

    def unknown(self, events, expected):
        known = self.log.known(events)
        return () if known[-1] else events


class KnowsIdsOfItsOwnConnection(MemoryStore):
    """A retry is recognised where the first try was sent, and nowhere else."""

    @classmethod
    def declares(cls, options):
        return replace(super().declares(options), writers="many")

    def __init__(self, namespace):
        super().__init__(namespace)
        self.seen = set()

    async def append(self, stream, events, *, expected):
        ids = {event.id for event in events}
        if ids and not ids & self.seen and all(each.int in self.log.by_id for each in ids):
            events = [replace(event, id=uuid4()) for event in events]
            expected = ANY
        result = await super().append(stream, events, expected=expected)
        self.seen |= ids
        return result


class ForgetsIdsUnderAny(MemoryStore):
    """Ids are looked up where a version is checked, and there alone."""

    async def append(self, stream, events, *, expected):
        if expected in (ANY, EXISTS):
            for event in events:
                self.log.by_id.pop(event.id.int, None)
        return await super().append(stream, events, expected=expected)


class ForgetsIdsUnderExists(MemoryStore):
    """Ids are looked up with a version and without one, but not where a stream must exist."""

    async def append(self, stream, events, *, expected):
        if expected is EXISTS:
            for event in events:
                self.log.by_id.pop(event.id.int, None)
        return await super().append(stream, events, expected=expected)


class WritesLongRetriesAgain(MemoryStore):
    """A batch of more than 16 events is not looked up."""

    async def append(self, stream, events, *, expected):
        known = self.log.known(events)
        if len(events) > 16 and all(known):
            events = [replace(event, id=uuid4()) for event in events]
            expected = ANY
        return await super().append(stream, events, expected=expected)


class ConflictsAtExactVersions(MemoryStore):
    """An exact version is compared before ids are looked up."""

    async def append(self, stream, events, *, expected):
        if isinstance(expected, int):
            require_expected(stream, expected, self.log.head(stream))
        return await super().append(stream, events, expected=expected)


class WritesTwinsTwice(MemoryStore):
    """Ids are looked up, and written later, so a retry concurrent with its original is unknown."""

    async def append(self, stream, events, *, expected):
        known = any(event.id.int in self.log.by_id for event in events)
        await give_way()
        twin = events and all(event.id.int in self.log.by_id for event in events)
        if twin and not known:
            events = [replace(event, id=uuid4()) for event in events]
            expected = ANY
        return self.log.append(stream, events, expected)


class RefusesTwins(MemoryStore):
    """The same race, decided by a unique key: a concurrent retry is a conflict."""

    async def append(self, stream, events, *, expected):
        known = any(event.id.int in self.log.by_id for event in events)
        await give_way()
        if events and not known and events[0].id.int in self.log.by_id:
            raise AppendRefused("duplicate key", reason="UniqueViolation")
        return self.log.append(stream, events, expected)


class ExtendsAKnownBatch(MemoryStore):
    """A known beginning is skipped, the rest is appended."""

    async def append(self, stream, events, *, expected):
        old = self.log.streams.get(stream, ())
        pairs = zip(old, events, strict=False)
        known = len([*takewhile(lambda pair: pair[0].id == pair[1].id, pairs)])
        if 0 < known < len(events):
            return await super().append(stream, events[known:], expected=ANY)
        return await super().append(stream, events, expected=expected)


class ComparesFirstAndLastIds(MemoryStore):
    """A batch between a known first and a known last event is called a retry."""

    async def append(self, stream, events, *, expected):
        known = self.log.known(events)
        first, last = known[0], known[-1]
        between = last.version - first.version + 1 if first and last else 0
        if between == len(events) > 2 and first.stream == last.stream == stream:
            return AppendResult(last.version, last.position)
        return await super().append(stream, events, expected=expected)


class LooksUpTenIds(MemoryStore):
    """Of a longer batch, the first ten; a known event after them is written again."""

    async def append(self, stream, events, *, expected):
        known = self.log.known(events)
        if not any(known[:10]):
            for event in events[10:]:
                self.log.by_id.pop(event.id.int, None)
        return await super().append(stream, events, expected=expected)


class WritesTheRestOfAPartlyKnownBatch(MemoryStore):
    """Insert, on conflict do nothing."""

    async def append(self, stream, events, *, expected):
        new = [event for event in events if event.id.int not in self.log.by_id]
        if new and len(new) < len(events):
            return await super().append(stream, new, expected=ANY)
        return await super().append(stream, events, expected=expected)


class ReplacesKnownEvents(MemoryStore):
    """An upsert: the same id with other content overwrites."""

    async def append(self, stream, events, *, expected):
        try:
            return await super().append(stream, events, expected=expected)
        except EventIdReused:
            old = self.log.by_id.get(events[0].id.int)
            if old is None or old.stream != stream or len(events) > 1:
                raise
            self.log.streams[stream][old.version] = replace(old, data=events[0].data)
            return AppendResult(old.version, old.position)


class ComparesDataAlone(MemoryStore):
    """Type and metadata of a known event may be others."""

    async def append(self, stream, events, *, expected):
        known = self.log.known(events)
        as_known = [
            replace(event, type=old.type, metadata=old.metadata) if old else event
            for event, old in zip(events, known, strict=True)
        ]
        return await super().append(stream, as_known, expected=expected)


class TakesRetriesInAnyOrder(MemoryStore):
    """All of the ids are there, so it is called a retry."""

    async def append(self, stream, events, *, expected):
        known = self.log.known(events)
        if all(old is not None and old.stream == stream for old in known):
            events = sorted(events, key=lambda event: self.log.by_id[event.id.int].version)
        return await super().append(stream, events, expected=expected)


class AcknowledgesIdsOfOtherStreams(MemoryStore):
    """Ids are unique in the whole log, and a known one is acknowledged wherever it comes."""

    async def append(self, stream, events, *, expected):
        old = self.log.by_id.get(events[0].id.int) if len(events) == 1 else None
        if old is not None and old.stream != stream:
            return AppendResult(old.version, old.position)
        return await super().append(stream, events, expected=expected)


class TellsRetriesTheHead(MemoryStore):
    """A retry is recognised, and returns the stream's present head."""

    async def append(self, stream, events, *, expected):
        result = await super().append(stream, events, expected=expected)
        return replace(result, version=len(self.log.streams[stream]) - 1)


class WritesTwiceWhenTheAnswerIsLost(Served):
    """What was written and not answered is not known by its id afterwards."""

    async def append(self, stream, events, *, expected):
        lost = not self.machine.up.is_set() or (self.wire and self.wire.loses_answers)
        try:
            return await super().append(stream, events, expected=expected)
        finally:
            if lost:
                for event in events:
                    self.log.by_id.pop(event.id.int, None)


class DropsWhatIsStalled(Served):
    """What has no answer is never written: no answer was lost."""

    async def append_unanswered(self, stream, events, expected):
        await asyncio.sleep(HASTE_S)
        raise OutcomeUnknown("no answer")

    async def append(self, stream, events, *, expected):
        if not self.machine.up.is_set():
            raise OutcomeUnknown("no answer")
        return await super().append(stream, events, expected=expected)
