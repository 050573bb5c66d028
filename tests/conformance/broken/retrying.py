"""Stores that forget, half know or misjudge events that were sent before."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import takewhile
from uuid import uuid4

from harness.errors import AppendRefused, EventIdReused, OutcomeUnknown
from harness.store import AppendResult, StreamState
from harness.stores.in_process import give_way
from harness.stores.memory import MemoryStore

from .machine import Served

ANY = StreamState.ANY


class WritesRetriesAgain(MemoryStore):
    """A retry is an append like any other, once in two times."""

    chance = random.Random("retries")

    async def append(self, stream, events, *, expected):
        known = bool(events) and events[0].id.int in self._log._by_id
        if known and self.chance.random() < 0.5:
            events = [replace(event, id=uuid4()) for event in events]
            expected = ANY
        return await super().append(stream, events, expected=expected)


class ForgetsOldIds(MemoryStore):
    """A window: what its stream got more than ten events ago is forgotten."""

    async def append(self, stream, events, *, expected):
        for old in self._log.streams.get(stream, ())[:-10]:
            self._log._by_id.pop(old.id.int, None)
        return await super().append(stream, events, expected=expected)


class ForgetsIdsBeyondAHundred(MemoryStore):
    """The same window, wide enough to be taken for all."""

    async def append(self, stream, events, *, expected):
        for old in self._log.streams.get(stream, ())[:-100]:
            self._log._by_id.pop(old.id.int, None)
        return await super().append(stream, events, expected=expected)


class ForgetsIdsAtARestart(Served):
    """Ids are kept beside the log, in memory."""

    forgotten = 0

    async def append(self, stream, events, *, expected):
        if self.machine.restarts and not self.machine.killed and not type(self).forgotten:
            type(self).forgotten = 1
            self._log._by_id.clear()
        return await super().append(stream, events, expected=expected)


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
        if ids and not ids & self.seen and all(each.int in self._log._by_id for each in ids):
            events = [replace(event, id=uuid4()) for event in events]
            expected = ANY
        result = await super().append(stream, events, expected=expected)
        self.seen |= ids
        return result


class ForgetsIdsUnderAny(MemoryStore):
    """Ids are looked up where a version is checked, and there alone."""

    async def append(self, stream, events, *, expected):
        if expected in (ANY, StreamState.EXISTS):
            for event in events:
                self._log._by_id.pop(event.id.int, None)
        return await super().append(stream, events, expected=expected)


class ConflictsAtExactVersions(MemoryStore):
    """An exact version is compared before ids are looked up."""

    async def append(self, stream, events, *, expected):
        if isinstance(expected, int):
            self._log._check_version(stream, expected)
        return await super().append(stream, events, expected=expected)


class WritesTwinsTwice(MemoryStore):
    """Ids are looked up, and written later: of a retry beside its original nothing is known."""

    async def append(self, stream, events, *, expected):
        known = any(event.id.int in self._log._by_id for event in events)
        await give_way()
        twin = events and all(event.id.int in self._log._by_id for event in events)
        if twin and not known:
            events = [replace(event, id=uuid4()) for event in events]
            expected = ANY
        return self._log.append(stream, events, expected)


class RefusesTwins(MemoryStore):
    """The same race, decided by a unique key: a retry beside its original is a conflict."""

    async def append(self, stream, events, *, expected):
        known = any(event.id.int in self._log._by_id for event in events)
        await give_way()
        if events and not known and events[0].id.int in self._log._by_id:
            raise AppendRefused("duplicate key", reason="UniqueViolation")
        return self._log.append(stream, events, expected)


class ExtendsAKnownBatch(MemoryStore):
    """A known beginning is skipped, the rest is appended."""

    async def append(self, stream, events, *, expected):
        old = self._log.streams.get(stream, ())
        pairs = zip(old, events, strict=False)
        known = len([*takewhile(lambda pair: pair[0].id == pair[1].id, pairs)])
        if 0 < known < len(events):
            return await super().append(stream, events[known:], expected=ANY)
        return await super().append(stream, events, expected=expected)


class WritesTheRestOfAPartlyKnownBatch(MemoryStore):
    """Insert, on conflict do nothing."""

    async def append(self, stream, events, *, expected):
        new = [event for event in events if event.id.int not in self._log._by_id]
        if new and len(new) < len(events):
            return await super().append(stream, new, expected=ANY)
        return await super().append(stream, events, expected=expected)


class ReplacesKnownEvents(MemoryStore):
    """An upsert: the same id with other content overwrites."""

    async def append(self, stream, events, *, expected):
        try:
            return await super().append(stream, events, expected=expected)
        except EventIdReused:
            old = self._log._by_id.get(events[0].id.int)
            if old is None or old.stream != stream or len(events) > 1:
                raise
            self._log.streams[stream][old.version] = replace(old, data=events[0].data)
            return AppendResult(old.version, old.position)


class ComparesDataAlone(MemoryStore):
    """Type and metadata of a known event may be others."""

    async def append(self, stream, events, *, expected):
        known = [self._log._by_id.get(event.id.int) for event in events]
        as_known = [
            replace(event, type=old.type, metadata=old.metadata) if old else event
            for event, old in zip(events, known, strict=True)
        ]
        return await super().append(stream, as_known, expected=expected)


class TakesRetriesInAnyOrder(MemoryStore):
    """All of the ids are there, so it is called a retry."""

    async def append(self, stream, events, *, expected):
        known = [self._log._by_id.get(event.id.int) for event in events]
        if all(old is not None and old.stream == stream for old in known):
            events = sorted(events, key=lambda event: self._log._by_id[event.id.int].version)
        return await super().append(stream, events, expected=expected)


class AcknowledgesIdsOfOtherStreams(MemoryStore):
    """Ids are unique in the whole log, and a known one is acknowledged wherever it comes."""

    async def append(self, stream, events, *, expected):
        old = self._log._by_id.get(events[0].id.int) if len(events) == 1 else None
        if old is not None and old.stream != stream:
            return AppendResult(old.version, old.position)
        return await super().append(stream, events, expected=expected)


class TellsRetriesTheHead(MemoryStore):
    """A retry is recognised, and told where the stream ends now."""

    async def append(self, stream, events, *, expected):
        result = await super().append(stream, events, expected=expected)
        return replace(result, version=len(self._log.streams[stream]) - 1)


class WritesTwiceWhenTheAnswerIsLost(Served):
    """What was sent to a machine that stood still is not known by its id afterwards."""

    async def append(self, stream, events, *, expected):
        lost = not self.machine.up.is_set()
        try:
            return await super().append(stream, events, expected=expected)
        finally:
            if lost:
                for event in events:
                    self._log._by_id.pop(event.id.int, None)


class DropsWhatIsStalled(Served):
    """What was sent to a machine that stands still is never written: no answer was lost."""

    async def append(self, stream, events, *, expected):
        if not self.machine.up.is_set():
            raise OutcomeUnknown("no answer")
        return await super().append(stream, events, expected=expected)
