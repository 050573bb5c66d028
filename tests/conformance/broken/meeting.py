"""Stores whose faults show only where appends meet."""

from __future__ import annotations

import random

from harness.domain.errors import AppendRefused, OutcomeUnknown, WrongExpectedVersion
from harness.domain.store import StreamState
from harness.stores._shared.append_rules import require_expected
from harness.stores._shared.waiting import give_way
from harness.stores.memory.store import MemoryStore

ANY = StreamState.ANY


class Meets(MemoryStore):
    """Base of stores that look at the log before they append, which gives way to others."""

    def head(self, stream):
        return len(self.log.streams.get(stream, ())) - 1

    def knows(self, events):
        return any(event.id.int in self.log.by_id for event in events)


class LosesUpdatesOfBatches(Meets):
    """Its guard is a key on the first event; batches it looks at, waits and writes."""

    async def append(self, stream, events, *, expected):
        if len(events) < 2 or expected is ANY or self.knows(events):
            return await super().append(stream, events, expected=expected)
        require_expected(stream, expected, self.log.head(stream))
        return await super().append(stream, events, expected=ANY)


class LosesUpdatesOfLongBatches(Meets):
    """More than 25 events are several statements, after a look at the head."""

    async def append(self, stream, events, *, expected):
        if len(events) <= 25 or expected is ANY or self.knows(events):
            return await super().append(stream, events, expected=expected)
        require_expected(stream, expected, self.log.head(stream))
        return await super().append(stream, events, expected=ANY)


class WritesConflictsOfFour(Meets):
    """A conflict of four events or more is reported, and its write lands."""

    async def append(self, stream, events, *, expected):
        try:
            return await super().append(stream, events, expected=expected)
        except WrongExpectedVersion:
            if len(events) >= 4:
                self.log.append(stream, events, ANY)
            raise


class LosesUpdatesAtVersions(Meets):
    """Only a stream's first event is guarded by a key."""

    async def append(self, stream, events, *, expected):
        if isinstance(expected, StreamState) or self.knows(events):
            return await super().append(stream, events, expected=expected)
        require_expected(stream, expected, self.log.head(stream))
        return await super().append(stream, events, expected=ANY)


class MistellsLateOnes(Meets):
    """Base of stores that tell racers at versions that exist something wrong, if they come late."""

    async def append(self, stream, events, *, expected):
        before = self.head(stream)
        try:
            return await super().append(stream, events, expected=expected)
        except WrongExpectedVersion as conflict:
            if isinstance(expected, StreamState) or self.head(stream) == before:
                raise
            raise self.conflict(stream, expected) from conflict

    def conflict(self, stream, expected):
        raise NotImplementedError


class RefusesLateOnesAtVersionsByAnyError(MistellsLateOnes):
    """A unique key in the way of a racer, but not at NO_STREAM."""

    def conflict(self, stream, expected):
        return AppendRefused("duplicate key", reason="UniqueViolation")


class TellsLateOnesWhatTheyExpected(MistellsLateOnes):
    """As the actual version, at versions that exist."""

    def conflict(self, stream, expected):
        return WrongExpectedVersion(stream, expected, expected)


class LeavesTheRestOfLosers(Meets):
    """A batch that loses a race leaves all but its first event."""

    async def append(self, stream, events, *, expected):
        before = self.head(stream)
        try:
            return await super().append(stream, events, expected=expected)
        except WrongExpectedVersion:
            if self.head(stream) != before and len(events) > 1:
                self.log.append(stream, events[1:], ANY)
            raise


class MixesBatchesThatMeet(Meets):
    """An append under ANY is one of each of its events."""

    async def append(self, stream, events, *, expected):
        alone = len(events) < 2 or len({event.id for event in events}) < len(events)
        plain = all(event.type.isascii() for event in events)
        if expected is not ANY or alone or not plain or self.knows(events):
            return await super().append(stream, events, expected=expected)
        for event in events:
            result = await super().append(stream, [event], expected=ANY)
        return result


class TearsWhatItDoesNotAnswer(Meets):
    """Of long batches that met, one in five is written in part, and its append not answered."""

    chance = random.Random("torn")

    async def append(self, stream, events, *, expected):
        before = self.head(stream)
        await give_way()
        if len(events) < 20 or self.head(stream) == before or self.chance.random() > 0.2:
            return self.log.append(stream, events, expected)
        self.log.append(stream, events[:7], expected)
        raise OutcomeUnknown("no answer by the deadline")


class LetsNothingMeet(MemoryStore):
    """Sound, and each append is over before the next one begins."""

    async def append(self, stream, events, *, expected):
        return self.log.append(stream, events, expected)
