"""Stores that change what was written, or that leave what was refused."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

from harness.domain.errors import (
    EmptyAppend,
    EventIdReused,
    NotWritten,
    TamperingPrevented,
    WrongExpectedVersion,
)
from harness.domain.store import AppendResult, NewEvent, StreamState
from harness.stores._shared.waiting import give_way
from harness.stores.memory.store import MemoryStore

ANY = StreamState.ANY


class CanBeOverwritten(MemoryStore):
    async def overwrite(self, stream, version, data):
        events = self.log.streams[stream]
        events[version] = replace(events[version], data=data)
        return True


class CanBeOverwrittenInSilence(CanBeOverwritten):
    """It says that it refused."""

    async def overwrite(self, stream, version, data):
        return not await super().overwrite(stream, version, data)


class CanBeDeletedFrom(MemoryStore):
    async def delete(self, stream, version):
        del self.log.streams[stream][version]
        return True


class RewritesOldEvents(MemoryStore):
    """Every twentieth event of a stream sets the time of an older one anew."""

    async def append(self, stream, events, *, expected):
        result = await super().append(stream, events, expected=expected)
        if result.version >= 60:
            in_stream = self.log.streams[stream]
            moved = in_stream[40].recorded_at + timedelta(seconds=1)
            in_stream[40] = replace(in_stream[40], recorded_at=moved)
        return result


class LeavesPartOfABatch(MemoryStore):
    """Events up to the one that is refused stay."""

    async def append(self, stream, events, *, expected):
        try:
            return await super().append(stream, events, expected=expected)
        except EventIdReused:
            if events[0].id.int not in self.log.by_id:
                self.log.append(stream, events[:1], ANY)
            raise


class ReportsConflictsAfterWriting(MemoryStore):
    async def append(self, stream, events, *, expected):
        result = await super().append(stream, events, expected=ANY)
        head = result.version - len(events)
        self._expects(stream, head if head >= 0 else None, expected)
        return result

    def _expects(self, stream, head, expected):
        holds = {
            StreamState.ANY: True,
            StreamState.NO_STREAM: head is None,
            StreamState.EXISTS: head is not None,
        }.get(expected, head == expected)
        if not holds:
            raise WrongExpectedVersion(stream, expected, head)


class WritesConflictsOfLongBatches(MemoryStore):
    """Four events or more are one call after the other, and the check comes with the last."""

    async def append(self, stream, events, *, expected):
        try:
            return await super().append(stream, events, expected=expected)
        except WrongExpectedVersion:
            if len(events) >= 4:
                self.log.append(stream, events, ANY)
            raise


class LeavesFullPagesOfABatch(MemoryStore):
    """What is refused by its last event is rolled back as far as the page that has it."""

    async def append(self, stream, events, *, expected):
        try:
            return await super().append(stream, events, expected=expected)
        except EventIdReused:
            new = {event.id for event in events if event.id.int not in self.log.by_id}
            if len(new) >= 32:
                self.log.append(stream, events[:16], ANY)
            raise


class ShowsConflictsForAMoment(MemoryStore):
    """A batch is visible until its conflict is noticed."""

    async def append(self, stream, events, *, expected):
        try:
            return await super().append(stream, events, expected=expected)
        except WrongExpectedVersion:
            kept = self.log.streams.get(stream)
            if kept is not None and len(events) >= 8:
                last = kept[-1]
                ghosts = [_ghost(event, last, n) for n, event in enumerate(events, 1)]
                self.log.streams[stream] = [*kept, *ghosts]
                await self._a_moment()
                self.log.streams[stream] = kept
            raise

    async def _a_moment(self):
        for _ in range(5):
            await give_way()


def _ghost(event, last, n):
    """The event as it would stand after the last one."""
    return replace(
        last,
        id=event.id,
        version=last.version + n,
        type=event.type,
        data=event.data,
        metadata=event.metadata,
    )


class ShowsConflictsInItsLogForAMoment(MemoryStore):
    """The streams are sound."""

    ghosts: ClassVar = defaultdict(list)

    async def append(self, stream, events, *, expected):
        try:
            return await super().append(stream, events, expected=expected)
        except WrongExpectedVersion:
            ghosts = self.ghosts[self.namespace]
            ghosts += [_ghost(event, self.log[-1], n) for n, event in enumerate(events, 1)]
            ghosts[-len(events) :] = [
                replace(ghost, stream=stream) for ghost in ghosts[-len(events) :]
            ]
            for _ in range(5):
                await give_way()
            ghosts.clear()
            raise

    async def read_all(self, *, after=None, limit=None):
        async for event in super().read_all(after=after, limit=limit):
            yield event
        if limit is None:
            for ghost in list(self.ghosts[self.namespace]):
                yield ghost


class PreventsTampering(MemoryStore):
    """Its disk is read-only to strangers, for the time being."""

    async def overwrite(self, stream, version, data):
        raise TamperingPrevented("a disk that is read-only")

    async def delete(self, stream, version):
        raise TamperingPrevented("a disk that is read-only")


class ReversesTheCallersList(MemoryStore):
    """When it refuses."""

    async def append(self, stream, events, *, expected):
        try:
            return await super().append(stream, events, expected=expected)
        except NotWritten:
            if isinstance(events, list):
                events.reverse()
            raise


class AcknowledgesNothing(MemoryStore):
    async def append(self, stream, events, *, expected):
        if not events:
            return AppendResult(len(self.log.streams.get(stream, ())) - 1, None)
        return await super().append(stream, events, expected=expected)


class CountsNothing(MemoryStore):
    """Refuses an append of nothing, and takes a version for it."""

    async def append(self, stream, events, *, expected):
        if not events and stream in self.log.streams:
            filler = NewEvent(id=UUID(int=len(self.log), version=4), type="Nothing", data=b"{}")
            self.log.append(stream, [filler], ANY)
            raise EmptyAppend("an append needs at least one event")
        return await super().append(stream, events, expected=expected)
