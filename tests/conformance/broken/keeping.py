"""Stores that keep something else than what they were given, or not for as long as they say."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from harness.domain.errors import AppendRefused, EventTooLarge, StoreError, StreamNotFound
from harness.domain.store import Position
from harness.stores.memory.store import MemoryStore

from .machine import Served


class Changes(MemoryStore):
    """Base of stores that change events on their way in."""

    def changed(self, event):
        raise NotImplementedError

    async def append(self, stream, events, *, expected):
        changed = [self.changed(event) for event in events]
        return await super().append(stream, changed, expected=expected)


class ExecutesStreamNames(MemoryStore):
    """The part after a quote is cut from the name."""

    async def append(self, stream, events, *, expected):
        return await super().append(stream.partition("'")[0], events, expected=expected)


class EndsAtNul(Changes):
    def changed(self, event):
        return replace(event, data=event.data.partition(b"\x00")[0])


class EndsMetadataAtNul(Changes):
    def changed(self, event):
        return replace(event, metadata=event.metadata.partition(b"\x00")[0])


def reencoded(event):
    """Numbers are doubles, keys are sorted, as in a document database."""
    with suppress(ValueError, UnicodeDecodeError):
        value = json.loads(event.data, parse_int=float)
        return replace(event, data=json.dumps(value, sort_keys=True).encode())
    return event


class ReencodesJson(Changes):
    def changed(self, event):
        return reencoded(event)


class FillsLargeEventsUp(Changes):
    """What does not fit into a page is there in length only."""

    def changed(self, event):
        kept = event.data[:65_536]
        return replace(event, data=kept.ljust(len(event.data), b"\x00"))


class LosesTypes(Changes):
    def changed(self, event):
        return replace(event, type="Event")


class CutsTypes(Changes):
    """A column of thirty-two characters."""

    def changed(self, event):
        return replace(event, type=event.type[:32])


class CutsLongTypes(Changes):
    """A column of 128 characters."""

    def changed(self, event):
        return replace(event, type=event.type[:128])


class CutsVeryLongTypes(Changes):
    """A column of 256 characters."""

    def changed(self, event):
        return replace(event, type=event.type[:256])


class RefusesLongNames(MemoryStore):
    """Of more characters than its column has, with a typed error."""

    column = 128

    async def append(self, stream, events, *, expected):
        if max(len(name) for name in (stream, *(each.type for each in events))) > self.column:
            raise AppendRefused("value too long", reason="StringDataRightTruncation")
        return await super().append(stream, events, expected=expected)


class RefusesVeryLongNames(RefusesLongNames):
    """Sound: nobody needs names of more than 255 characters."""

    column = 255


class CutsMetadata(Changes):
    """A field of four kilobytes."""

    def changed(self, event):
        return replace(event, metadata=event.metadata[:4096])


class CutsLargeMetadata(Changes):
    """A field whose length has two bytes."""

    def changed(self, event):
        return replace(event, metadata=event.metadata[:65_535])


class CutsVeryLargeEvents(Changes):
    """At a mebibyte."""

    def changed(self, event):
        return replace(event, data=event.data[:1_048_576])


class RefusesBelowItsLimit(MemoryStore):
    """It declares half a megabyte, and takes a quarter."""

    @classmethod
    def declares(cls, options):
        return replace(super().declares(options), event_limit_bytes=500_000)

    async def append(self, stream, events, *, expected):
        if any(len(event.data) > 250_000 for event in events):
            raise EventTooLarge("at most 250,000 bytes")
        return await super().append(stream, events, expected=expected)


class ChangesOnTheWayOut(MemoryStore):
    """Base of stores whose log and subscriptions do not give what their streams give."""

    def given(self, event):
        raise NotImplementedError

    async def read_all(self, **how):
        async for event in super().read_all(**how):
            yield self.given(event)

    async def subscribe(self, **how):
        async for event in super().subscribe(**how):
            yield self.given(event)


class ReencodesJsonInItsLog(ChangesOnTheWayOut):
    def given(self, event):
        return reencoded(event)


class DropsMetadataInItsLog(ChangesOnTheWayOut):
    def given(self, event):
        return replace(event, metadata=b"")


class RenamesStreamsInItsLog(ChangesOnTheWayOut):
    """ASCII without quotes, as in a file's name."""

    def given(self, event):
        plain = event.stream.encode("ascii", "replace").decode()
        return replace(event, stream=plain.replace("'", "_"))


class ReencodesJsonForSubscribers(MemoryStore):
    async def subscribe(self, **how):
        async for event in super().subscribe(**how):
            yield reencoded(event)


class KeepsLocalTime(MemoryStore):
    """The server's clock on the wall, called UTC."""

    async def read_stream(self, stream, **how):
        async for event in super().read_stream(stream, **how):
            local = datetime.fromtimestamp(event.recorded_at.timestamp())
            yield replace(event, recorded_at=local.replace(tzinfo=UTC))


class FoldsRepeatedHours(MemoryStore):
    """Times are kept as the clock on the wall has them: which of two hours it was is lost."""

    async def read_stream(self, stream, **how):
        async for event in super().read_stream(stream, **how):
            wall = datetime.fromtimestamp(event.recorded_at.timestamp())
            yield replace(event, recorded_at=wall.replace(fold=0).astimezone(UTC))


class ForgetsSummerTime(MemoryStore):
    """The clock on the wall, less the zone's offset in winter."""

    async def read_stream(self, stream, **how):
        async for event in super().read_stream(stream, **how):
            wall = datetime.fromtimestamp(event.recorded_at.timestamp()).replace(tzinfo=UTC)
            yield replace(event, recorded_at=wall + timedelta(seconds=time.timezone))


class DropsMetadata(Changes):
    def changed(self, event):
        return replace(event, metadata=b"")


class RefusesLargeEventsByAnyError(MemoryStore):
    """The driver's own word for it."""

    async def append(self, stream, events, *, expected):
        if any(len(event.data) > 900_000 for event in events):
            raise AppendRefused("HTTP 413", reason="ClientError")
        return await super().append(stream, events, expected=expected)


class CutsBatches(MemoryStore):
    """Sixty-four events in one append, and a good answer."""

    async def append(self, stream, events, *, expected):
        return await super().append(stream, events[:64], expected=expected)


class CutsBatchesAt128(MemoryStore):
    """A count of events that has seven bits, and a good answer."""

    most = 128

    async def append(self, stream, events, *, expected):
        return await super().append(stream, events[: self.most], expected=expected)


class CutsBatchesAt256(CutsBatchesAt128):
    most = 256


class CutsSnapshots(MemoryStore):
    """At 64 kilobytes."""

    async def save_snapshot(self, snapshot):
        await super().save_snapshot(replace(snapshot, data=snapshot.data[:65_535]))


class KeepsAnyLargeSnapshot(MemoryStore):
    """Large ones have a place of their own, without the guard."""

    async def save_snapshot(self, snapshot):
        if len(snapshot.data) > 65_536:
            self.log.snapshots[snapshot.stream] = snapshot
        await super().save_snapshot(snapshot)


class KeepsAnySnapshot(MemoryStore):
    async def save_snapshot(self, snapshot):
        self.log.snapshots[snapshot.stream] = snapshot


class KeepsSnapshotsInItsConnection(MemoryStore):
    """A cache that nobody else sees."""

    def __init__(self, namespace):
        super().__init__(namespace)
        self.snapshots = {}

    async def load_snapshot(self, stream):
        return self.snapshots.get(stream)

    async def save_snapshot(self, snapshot):
        kept = self.snapshots.setdefault(snapshot.stream, snapshot)
        if snapshot.version > kept.version:
            self.snapshots[snapshot.stream] = snapshot


class SharesOneSnapshot(MemoryStore):
    """The newest of all streams is every stream's."""

    async def load_snapshot(self, stream):
        kept = await super().load_snapshot("")
        return kept and replace(kept, stream=stream)

    async def save_snapshot(self, snapshot):
        await super().save_snapshot(replace(snapshot, stream=""))


class FindsEveryStream(MemoryStore):
    async def read_stream(self, stream, **how):
        with suppress(StreamNotFound):
            async for event in super().read_stream(stream, **how):
                yield event


class FindsEveryStreamBackwards(MemoryStore):
    async def read_stream(self, stream, *, backwards=False, **how):
        try:
            async for event in super().read_stream(stream, backwards=backwards, **how):
                yield event
        except StreamNotFound:
            if not backwards:
                raise


class AcknowledgesBeforeItIsDurable(Served):
    """The last event of each stream is still on its way to the disk when the power goes."""

    async def append(self, stream, events, *, expected):
        if self.machine.killed and not self.machine.up.is_set():
            raise StoreError("gone")
        return await super().append(stream, events, expected=expected)

    async def read_stream(self, stream, **how):
        async for event in super().read_stream(stream, **how):
            last = len(self.log.streams[stream]) - 1
            if not (self.machine.killed and event.version == last):
                yield event


class LosesTheEndOfItsLogAtAKill(Served):
    """The log's index lacks what was new; the streams are whole."""

    async def read_all(self, **how):
        async for event in super().read_all(**how):
            if not (self.machine.killed and event.position[0] > len(self.log) - 100):
                yield event


class HandsPositionsOutAgain(Served):
    """What is appended after a kill gets positions that readers had seen before it."""

    async def append(self, stream, events, *, expected):
        if self.machine.killed and self.machine.up.is_set() and not hasattr(self.log, "at_kill"):
            self.log.at_kill = len(self.log)
        return await super().append(stream, events, expected=expected)

    async def read_all(self, *, after=None, limit=None):
        async for event in super().read_all(limit=limit):
            again = event.position[0] >= getattr(self.log, "at_kill", len(self.log))
            place = Position((event.position[0] - 100 * again,))
            if after is None or place > after:
                yield replace(event, position=place)


class ForgetsItsLogAtARestart(Served):
    """The log's index is kept in memory; the streams are whole."""

    async def read_all(self, **how):
        async for event in super().read_all(**how):
            if not self.machine.restarts:
                yield event
