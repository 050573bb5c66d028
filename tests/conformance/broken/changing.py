"""Stores that change what was written, or that leave what was refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from harness.errors import EmptyAppend, EventIdReused, NotWritten, WrongExpectedVersion
from harness.store import AppendResult, NewEvent, StreamState
from harness.stores.memory import MemoryStore

ANY = StreamState.ANY


class CanBeOverwritten(MemoryStore):
    async def overwrite(self, stream, version, data):
        events = self._log.streams[stream]
        events[version] = replace(events[version], data=data)
        return True


class CanBeOverwrittenInSilence(CanBeOverwritten):
    """It says that it refused."""

    async def overwrite(self, stream, version, data):
        return not await super().overwrite(stream, version, data)


class CanBeDeletedFrom(MemoryStore):
    async def delete(self, stream, version):
        del self._log.streams[stream][version]
        return True


class RewritesOldEvents(MemoryStore):
    """Every twentieth event of a stream sets the time of an older one anew."""

    async def append(self, stream, events, *, expected):
        result = await super().append(stream, events, expected=expected)
        if result.version >= 60:
            in_stream = self._log.streams[stream]
            moved = in_stream[40].recorded_at + timedelta(seconds=1)
            in_stream[40] = replace(in_stream[40], recorded_at=moved)
        return result


class LeavesPartOfABatch(MemoryStore):
    """Events up to the one that is refused stay."""

    async def append(self, stream, events, *, expected):
        try:
            return await super().append(stream, events, expected=expected)
        except EventIdReused:
            if events[0].id.int not in self._log._by_id:
                self._log.append(stream, events[:1], ANY)
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
            return AppendResult(len(self._log.streams.get(stream, ())) - 1, None)
        return await super().append(stream, events, expected=expected)


class CountsNothing(MemoryStore):
    """Refuses an append of nothing, and takes a version for it."""

    async def append(self, stream, events, *, expected):
        if not events and stream in self._log.streams:
            filler = NewEvent(id=UUID(int=len(self._log), version=4), type="Nothing", data=b"{}")
            self._log.append(stream, [filler], ANY)
            raise EmptyAppend("an append needs at least one event")
        return await super().append(stream, events, expected=expected)
