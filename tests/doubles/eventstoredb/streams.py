"""The double's service `event_store.client.streams.Streams`. Source: `streams.proto`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf import any_pb2

from . import messages
from .library import shared_pb2, streams_pb2, streams_pb2_grpc
from .log import Conflict, Event, StreamIsDeleted
from .state import State

_EVENT_TOO_LARGE = "type.googleapis.com/event_store.client.MaximumAppendEventSizeExceeded"


class Streams(streams_pb2_grpc.StreamsServicer):
    """Append, batch append, read, subscribe, delete, tombstone."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def BatchAppend(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Answers in the order of the requests, each with its correlation id."""
        async for request in requests:
            await self._state.gate(context)
            await self._state.require_writable(context)
            yield await self._appended(request)

    async def _appended(self, request: Any) -> Any:
        correlation, options = request.correlation_id, request.options
        limits, name = self._state.release, messages.name_of(options)
        sizes = [len(one.data) for one in request.proposed_messages]  # metadata is not counted
        if sum(sizes) > limits.append_bytes:
            why = shared_pb2.MaximumAppendSizeExceeded(maxAppendSize=limits.append_bytes)
            return messages.refused(correlation, why)
        if limits.event_bytes is not None and max(sizes, default=0) > limits.event_bytes:
            return messages.refused_as(correlation, any_pb2.Any(type_url=_EVENT_TOO_LARGE))
        types = [one.metadata["type"] for one in request.proposed_messages]
        if not name or not all(types):
            why = shared_pb2.BadRequest(message="empty")
            return messages.refused(correlation, why)
        expected = messages.expected_of(options, "expected_stream_position")
        try:
            last = self._state.log.append(name, expected, list(request.proposed_messages))
        except Conflict as conflict:
            return messages.refused(correlation, messages.wrong_version(conflict.actual))
        except StreamIsDeleted:
            why = shared_pb2.StreamDeleted(stream_identifier=options.stream_identifier)
            return messages.refused(correlation, why)
        await self._state.wake()
        return messages.accepted(correlation, last)

    async def Read(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """A stream or all, forwards or backwards; or a subscription that goes on for ever."""
        await self._state.gate(context)
        options = request.options
        if options.WhichOneof("count_option") == "subscription":
            async for answer in self._followed(options, context):
                yield answer
            return
        await self._require_answerable(options, context)
        found = self._stream(options) if options.HasField("stream") else self._all(options)
        if found is None:
            identifier = options.stream.stream_identifier
            missing = streams_pb2.ReadResp.StreamNotFound(stream_identifier=identifier)
            yield streams_pb2.ReadResp(stream_not_found=missing)
            return
        for event in found[: options.count]:
            await self._state.gate(context)
            yield messages.read_event(self._state.log, event, resolve=options.resolve_links)

    async def _require_answerable(self, options: Any, context: Any) -> None:
        """What servers answer to a limit of 0, to a place that is none, and for a tombstone."""
        if options.HasField("stream"):
            name = messages.name_of(options.stream)
            stream = self._state.log.streams.get(name)
            if stream is not None and stream.tombstoned:
                why = f"Event stream '{name}' is deleted."
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, why)
            if options.count == 0:
                why = "Unexpected ReadStreamResult: Error"
                await context.abort(grpc.StatusCode.UNKNOWN, why)
            return
        if options.count == 0:
            await asyncio.get_running_loop().create_future()
        if options.all.WhichOneof("all_option") == "position":
            position = options.all.position.commit_position
            if position not in (each.position for each in self._state.log.all):
                why = f"Unexpected FilteredReadAllResult: {self._state.release.no_position}"
                await context.abort(grpc.StatusCode.UNKNOWN, why)

    def _stream(self, options: Any) -> list[Event] | None:
        """`None` without such a stream. Source: the client's tests of `NotFound`."""
        stream = self._state.log.streams.get(messages.name_of(options.stream))
        if stream is None or stream.head is None:
            return None
        events, backwards = stream.visible, options.read_direction == options.Backwards
        if options.stream.WhichOneof("revision_option") == "revision":
            start = options.stream.revision
            events = [
                e for e in events if (e.version <= start if backwards else e.version >= start)
            ]
        return events[::-1] if backwards else events

    def _all(self, options: Any) -> list[Event]:
        """A read begins with the event at its position. Source: docs, "Reading events"."""
        wanted, backwards = messages.matching(options), options.read_direction == options.Backwards
        events = self._state.log.all
        if options.all.WhichOneof("all_option") == "position":
            start = options.all.position.commit_position
            later = messages.after(events, start if backwards else start - 1)
            events = events[: len(events) - len(later)] if backwards else later
        return [event for event in (reversed(events) if backwards else events) if wanted(event)]

    async def _followed(self, options: Any, context: Any) -> AsyncIterator[Any]:
        """A subscription begins after its position. Source: docs, "Catch-up subscriptions"."""
        yield messages.confirmation()
        caught_up = False
        position = self._start(options)
        while True:
            events, position = self._after(options, position), self._end(position)
            for event in events:
                await self._state.gate(context)
                yield messages.read_event(self._state.log, event, resolve=options.resolve_links)
            if not caught_up:
                yield streams_pb2.ReadResp(caught_up=streams_pb2.ReadResp.CaughtUp())
                caught_up = True
            await self._state.more(position)
            await self._state.gate(context)

    def _after(self, options: Any, position: int) -> list[Event]:
        if options.HasField("stream"):
            stream = self._state.log.streams.get(messages.name_of(options.stream))
            return messages.after(stream.visible if stream else [], position)
        wanted = messages.matching(options)
        return [e for e in messages.after(self._state.log.all, position) if wanted(e)]

    def _end(self, otherwise: int) -> int:
        return self._state.log.all[-1].position if self._state.log.all else otherwise

    def _start(self, options: Any) -> int:
        if options.HasField("stream"):
            return 0
        which = options.all.WhichOneof("all_option")
        if which == "position":
            return int(options.all.position.commit_position)
        return self._state.log.all[-1].position if which == "end" and self._state.log.all else 0

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Soft. Refused without a stream. Source: client test `test_delete_stream`."""
        await self._delete(request, context, tombstone=False)
        return streams_pb2.DeleteResp()

    async def Tombstone(self, request: Any, context: Any) -> Any:  # noqa: N802
        """For ever."""
        await self._delete(request, context, tombstone=True)
        return streams_pb2.TombstoneResp()

    async def _delete(self, request: Any, context: Any, *, tombstone: bool) -> None:
        await self._state.gate(context)
        if not self._state.log.delete(messages.name_of(request.options), tombstone=tombstone):
            why = "Append failed due to WrongExpectedVersion. Actual version: -1"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, why)
