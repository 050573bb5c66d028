"""Stores that compare expectations wrongly, or tell the outcome wrongly."""

from __future__ import annotations

import random
from dataclasses import replace

from harness.domain.errors import AppendRefused, OutcomeUnknown, WrongExpectedVersion
from harness.domain.store import StreamState
from harness.stores._shared.append_rules import require_expected
from harness.stores._shared.waiting import give_way
from harness.stores.memory.store import MemoryStore

ANY, NO_STREAM, EXISTS = StreamState.ANY, StreamState.NO_STREAM, StreamState.EXISTS


class LosesUpdates(MemoryStore):
    """The tutorial's optimistic concurrency: look, wait, write."""

    async def append(self, stream, events, *, expected):
        if not any(event.id.int in self.log.by_id for event in events):
            require_expected(stream, expected, self.log.head(stream))
            await give_way()
            expected = ANY
        return await super().append(stream, events, expected=expected)


class HasTwoWinnersInTwoHundred(MemoryStore):
    """One loser in 200 that came a moment late is let through."""

    chance = random.Random("winners")

    async def append(self, stream, events, *, expected):
        before = len(self.log)
        await give_way()
        try:
            return await super().append(stream, events, expected=expected)
        except WrongExpectedVersion:
            if len(self.log) == before or self.chance.random() > 0.005:
                raise
            return await super().append(stream, events, expected=ANY)


class TellsTheWrongActualVersion(MemoryStore):
    """That of the append that lost."""

    async def append(self, stream, events, *, expected):
        try:
            return await super().append(stream, events, expected=expected)
        except WrongExpectedVersion as conflict:
            raise WrongExpectedVersion(stream, expected, (conflict.actual or 0) + 1) from conflict


class KeepsTheActualVersionToItself(MemoryStore):
    async def append(self, stream, events, *, expected):
        try:
            return await super().append(stream, events, expected=expected)
        except WrongExpectedVersion as conflict:
            raise WrongExpectedVersion(stream, expected, None) from conflict


class TellsActualVersionsInAByte(MemoryStore):
    """Of streams longer than 256 events, the remainder."""

    async def append(self, stream, events, *, expected):
        try:
            return await super().append(stream, events, expected=expected)
        except WrongExpectedVersion as conflict:
            actual = conflict.actual if conflict.actual is None else conflict.actual % 256
            raise WrongExpectedVersion(stream, expected, actual) from conflict


class RefusesConflictsByAnyError(MemoryStore):
    """A unique key in the way of a racer."""

    async def append(self, stream, events, *, expected):
        before = len(self.log)
        await give_way()
        try:
            return await super().append(stream, events, expected=expected)
        except WrongExpectedVersion as conflict:
            if len(self.log) == before:
                raise
            raise AppendRefused("duplicate key", reason="UniqueViolation") from conflict


class RefusesExistsByAnyError(MemoryStore):
    """Where the stream is missing."""

    async def append(self, stream, events, *, expected):
        try:
            return await super().append(stream, events, expected=expected)
        except WrongExpectedVersion as conflict:
            if expected is not EXISTS:
                raise
            raise AppendRefused("no such stream", reason="NotFound") from conflict


class Expects(MemoryStore):
    """Base of stores that take one expectation for another."""

    def taken_for(self, expected, head):
        raise NotImplementedError

    async def append(self, stream, events, *, expected):
        head = len(self.log.streams.get(stream, ())) - 1
        return await super().append(stream, events, expected=self.taken_for(expected, head))


class TakesNoStreamForAny(Expects):
    def taken_for(self, expected, head):
        return ANY if expected is NO_STREAM else expected


class TakesExistsForAny(Expects):
    def taken_for(self, expected, head):
        return ANY if expected is EXISTS else expected


class TakesTheFutureForAny(Expects):
    def taken_for(self, expected, head):
        return ANY if isinstance(expected, int) and expected > head else expected


class LocksOptimistically(MemoryStore):
    """ANY is the head seen a moment ago, so that concurrent appends conflict."""

    async def append(self, stream, events, *, expected):
        if expected is ANY:
            head = len(self.log.streams.get(stream, ())) - 1
            known = any(event.id.int in self.log.by_id for event in events)
            expected = ANY if known else NO_STREAM if head < 0 else head
        return await super().append(stream, events, expected=expected)


class OverwritesWhatCommitsBeside(MemoryStore):
    """A put without a condition: of two appends that met, the later takes the earlier's place."""

    chance = random.Random("puts")

    async def append(self, stream, events, *, expected):
        seen = len(self.log.streams.get(stream, ()))
        result = await super().append(stream, events, expected=expected)
        in_stream = self.log.streams[stream]
        met = seen <= result.version - len(events)
        if met and self.chance.random() < 0.05:
            lost = in_stream[seen]
            in_stream[seen] = replace(in_stream[-1], version=lost.version, position=lost.position)
        return result


class OverwritesWithLongBatches(OverwritesWhatCommitsBeside):
    """Four events or more are a put without a condition, and fewer are not."""

    async def append(self, stream, events, *, expected):
        if len(events) < 4:
            return await MemoryStore.append(self, stream, events, expected=expected)
        return await super().append(stream, events, expected=expected)


class FoldsStreamNames(MemoryStore):
    async def append(self, stream, events, *, expected):
        return await super().append(stream.casefold(), events, expected=expected)

    async def read_stream(self, stream, **how):
        async for event in super().read_stream(stream.casefold(), **how):
            yield replace(event, stream=stream)


class CutsStreamNames(MemoryStore):
    async def append(self, stream, events, *, expected):
        return await super().append(stream[:255], events, expected=expected)

    async def read_stream(self, stream, **how):
        async for event in super().read_stream(stream[:255], **how):
            yield replace(event, stream=stream)


class SometimesDoesNotAnswer(MemoryStore):
    """Sound: of appends that met, one in twenty is written and not answered."""

    chance = random.Random("answers")

    async def append(self, stream, events, *, expected):
        seen = len(self.log.streams.get(stream, ()))
        result = await super().append(stream, events, expected=expected)
        met = seen <= result.version - len(events)
        if met and self.chance.random() < 0.05:
            raise OutcomeUnknown("no answer by the deadline")
        return result
