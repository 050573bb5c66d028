"""Stores that keep something else than what they were given, or not for as long as they say."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from harness.errors import AppendRefused, StoreError, StreamNotFound
from harness.stores.memory import MemoryStore

from .machine import Served


class Changes(MemoryStore):
    """Base of stores that change events on their way in."""

    def changed(self, event):
        raise NotImplementedError

    async def append(self, stream, events, *, expected):
        changed = [self.changed(event) for event in events]
        return await super().append(stream, changed, expected=expected)


class ExecutesStreamNames(MemoryStore):
    """What stands behind a quote is not part of the name."""

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


class KeepsAnySnapshot(MemoryStore):
    async def save_snapshot(self, snapshot):
        self._log.snapshots[snapshot.stream] = snapshot


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


class AcknowledgesBeforeItIsDurable(Served):
    """The last event of each stream is still on its way to the disk when the power goes."""

    async def append(self, stream, events, *, expected):
        if self.machine.killed and not self.machine.up.is_set():
            raise StoreError("gone")
        return await super().append(stream, events, expected=expected)

    async def read_stream(self, stream, **how):
        async for event in super().read_stream(stream, **how):
            last = len(self._log.streams[stream]) - 1
            if not (self.machine.killed and event.version == last):
                yield event


class LosesTheEndOfItsLogAtAKill(Served):
    """The log's index lacks what was new; the streams are whole."""

    async def read_all(self, **how):
        async for event in super().read_all(**how):
            if not (self.machine.killed and event.position[0] > len(self._log) - 100):
                yield event


class ForgetsItsLogAtARestart(Served):
    """The log's index is kept in memory; the streams are whole."""

    async def read_all(self, **how):
        async for event in super().read_all(**how):
            if not self.machine.restarts:
                yield event
