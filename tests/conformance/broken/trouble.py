"""Stores that lose or invent something in trouble: doubles, as no wrapper can lose a real disk."""

from __future__ import annotations

from harness.domain.errors import OutcomeUnknown, OutOfResources
from harness.domain.store import AppendResult, StreamState

from .machine import Served

UNSYNCED = 10
FIRST_FLUSH = 400


class Loses(Served):
    """Base of stores that have forgotten some places of their log."""

    def lost(self, place):
        raise NotImplementedError

    async def read_stream(self, stream, **how):
        async for event in super().read_stream(stream, **how):
            if not self.lost(event.position[0]):
                yield event


class SyncsLate(Loses):
    """The newest events are in the page cache: a kill spares them, a power loss does not."""

    def lost(self, place):
        ends = self.machine.lengths("a power loss", self.log)
        return any(end - UNSYNCED <= place < end for end in ends)


class BuffersItsFirstAppends(Loses):
    """What comes right after a start is written with the first full buffer."""

    def lost(self, place):
        starts = self.machine.lengths("a start", self.log)
        for kill in self.machine.lengths("a kill", self.log):
            start = max((each for each in starts if each <= kill), default=None)
            if start is not None and start <= place < kill < start + FIRST_FLUSH:
                return True
        return False


class WritesLateWhatWasCutOff(Served):
    """An append that a kill cut off is found in a queue, and written before the next one."""

    async def append(self, stream, events, *, expected):
        waiting = self.log.__dict__.setdefault("waiting", {})
        if self.machine.killed and not self.machine.up.is_set():
            waiting.setdefault(stream, []).append(events)
            raise OutcomeUnknown("no answer")
        for late in waiting.pop(stream, ()):
            self.log.append(stream, late, StreamState.ANY)
        return await super().append(stream, events, expected=expected)


class AcknowledgesWithoutRoom(Served):
    """The first append to a full disk is acknowledged, and written nowhere."""

    async def append(self, stream, events, *, expected):
        acknowledged = self.log.__dict__.setdefault("acknowledged", set())
        if self.machine.full and stream not in acknowledged:
            acknowledged.add(stream)
            return AppendResult(len(events) - 1, None)
        return await super().append(stream, events, expected=expected)


class KeepsWhatItRefusedForWantOfRoom(Served):
    """A part of the append was on the disk before there was no room."""

    async def append(self, stream, events, *, expected):
        if self.machine.full:
            self.log.append(stream, events[:1], expected)
            raise OutOfResources("no room left on the disk")
        return await super().append(stream, events, expected=expected)


class RecoversInPlace(Loses):
    """Its recovery empties the end of its log before it writes it again."""

    def lost(self, place):
        ends = self.machine.lengths("a kill in a recovery", self.log)
        return any(end - UNSYNCED <= place < end for end in ends)
