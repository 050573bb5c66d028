"""One long-lived BatchAppend call for the appends of all concurrent callers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple
from uuid import uuid4

from harness.domain.store import ExpectedVersion, NewEvent, StreamState
from harness.stores.eventstoredb.client import BUILDING, is_about_the_call, library

BYTES = "application/octet-stream"
_AROUND_BYTES = 128
"""Of an event: its id, its content type, and the tags of the fields."""
_CHARACTER_BYTES_MAX = 4
ALONE_FROM_BYTES = 1 << 20
"""From this size on, an append gets a call of its own.

A message that is over the server's limit ends its call, and the appends of others with it.
"""


_CORRELATED = "12x"
"""The last digits of a UUID, which number a connection's appends."""


class _Waiting(NamedTuple):
    """A caller, and the loop's time at which it stops waiting."""

    response: asyncio.Future[Any]
    until: float


@dataclass(slots=True)
class _Call:
    """One gRPC call, and the callers that wait for its responses, longest first."""

    requests: asyncio.Queue[Any]
    waiting: dict[str, _Waiting] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    answered: bool = False

    def expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the waits that are over, and look again when the next one is.

        One timer serves all: they have one deadline, so that the oldest is the first to reach it.
        """
        self.timer = None
        for waiting in self.waiting.values():
            if waiting.until > loop.time():
                self.timer = loop.call_at(waiting.until, self.expire, loop)
                return
            if not waiting.response.done():
                waiting.response.set_exception(TimeoutError())


class Batcher:
    """Sends the appends of concurrent callers over one call, and opens another when it breaks.

    Each request has a correlation id, which its response repeats. Source: the server's
    `streams.proto`, rpc BatchAppend.
    """

    def __init__(self, client: Any, deadline_s: float) -> None:
        self._client, self._deadline_s = client, deadline_s
        self._make = requests(client, deadline_s)
        self._call: _Call | None = None
        self._own, self._numbers = str(uuid4())[:24], count()

    async def append(self, name: str, proposed: Sequence[Fields], expected: ExpectedVersion) -> Any:
        """The server's response. Raises the error that broke the call, or `TimeoutError`."""
        correlation = f"{self._own}{next(self._numbers):0{_CORRELATED}}"
        request = self._make(name, proposed, expected, correlation)
        if sum(map(_size, proposed)) >= ALONE_FROM_BYTES:
            return await answered_alone(self._client, request, self._deadline_s)
        call, loop = self._open(), asyncio.get_running_loop()
        response, until = loop.create_future(), loop.time() + self._deadline_s
        call.waiting[correlation] = _Waiting(response, until)
        if call.timer is None:
            call.timer = loop.call_at(until, call.expire, loop)
        call.requests.put_nowait(request)
        try:
            return await response
        finally:
            call.waiting.pop(correlation, None)

    async def aclose(self) -> None:
        """End the call; what is under way on it has an unknown outcome."""
        call, self._call = self._call, None
        if call is not None and call.task is not None:
            self._broken(call, ConnectionAbortedError("the store was closed"))
            call.task.cancel()
            await asyncio.gather(call.task, return_exceptions=True)

    def _open(self) -> _Call:
        if self._call is None:
            rpc = opened(self._client)
            call = self._call = _Call(asyncio.Queue())
            call.task = asyncio.create_task(self._carry(call, rpc))
        return self._call

    async def _carry(self, call: _Call, rpc: Any) -> None:
        """Send queued requests and hand responses to their callers, until the call breaks."""
        sending = asyncio.create_task(_send(rpc, call.requests))
        try:
            async for response in rpc:
                call.answered = True
                waiting = call.waiting.get(response.correlation_id.string)
                if waiting is not None and not waiting.response.done():
                    waiting.response.set_result(response)
            self._broken(call, ConnectionResetError("the server ended the call"))
        except asyncio.CancelledError:
            # Either this task was asked to end, or gRPC ended the call with its channel.
            self._broken(call, ConnectionAbortedError("the connection was closed"))
            raise
        except Exception as error:
            self._broken(call, _shared(_client_error(error), call))
        finally:
            sending.cancel()
            rpc.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    def _broken(self, call: _Call, error: Exception) -> None:
        if self._call is call:
            self._call = None
        if call.timer is not None:
            call.timer.cancel()
        for waiting in call.waiting.values():
            if not waiting.response.done():
                waiting.response.set_exception(error)


Fields = dict[str, Any]
"""A message as what it is made from: one call makes it with the message around it."""
_EXPECTATIONS: dict[ExpectedVersion, str] = {
    StreamState.ANY: "any",
    StreamState.EXISTS: "stream_exists",
    StreamState.NO_STREAM: "no_stream",
}
Make = Callable[[str, Sequence[Fields], ExpectedVersion, str], Any]


def requests(client: Any, deadline_s: float) -> Make:
    """Makes a request from a stream's name, messages, what is expected, and a correlation id.

    It raises `AppendRefused` where none can be made. The messages are the client's own, made in a
    third of its time.
    """
    own = client._connection.streams._construct_batch_append_req
    kind = type(own("", library().stream_state.ANY, [], uuid4()))
    seconds = int(deadline_s)
    deadline = {"seconds": seconds, "nanos": int((deadline_s - seconds) * 1e9)}

    def make(
        name: str, proposed: Sequence[Fields], expected: ExpectedVersion, correlation: str
    ) -> Any:
        state = _EXPECTATIONS.get(expected)
        expectation: Fields = {"stream_position": expected} if state is None else {state: {}}
        with BUILDING:
            return kind(
                correlation_id={"string": correlation},
                options={
                    "stream_identifier": {"stream_name": name.encode()},
                    "deadline": deadline,
                    **expectation,
                },
                proposed_messages=proposed,
                is_final=True,
            )

    return make


def proposed_message(event: NewEvent) -> Fields:
    """An event in a request."""
    return {
        "id": {"string": str(event.id)},
        "metadata": {"type": event.type, "content-type": BYTES},
        "custom_metadata": event.metadata,
        "data": event.data,
    }


def _size(proposed: Fields) -> int:
    """Bytes that it takes in a request, or a few more."""
    named = len(proposed["metadata"]["type"]) * _CHARACTER_BYTES_MAX
    return _AROUND_BYTES + named + len(proposed["data"]) + len(proposed["custom_metadata"])


async def answered_alone(client: Any, request: Any, deadline_s: float) -> Any:
    """The response to a request on a call of its own. Raises the client's own errors."""
    rpc = opened(client, [request], timeout=deadline_s)
    try:
        async for response in rpc:
            return response
    except Exception as error:
        raise _client_error(error) from None
    finally:
        rpc.cancel()
    raise ConnectionResetError("the server ended the call")


def opened(client: Any, *requests: Sequence[Any], **how: Any) -> Any:
    """A BatchAppend call; with the given requests, or to be written to."""
    streams = client._connection.streams
    return streams._stub.BatchAppend(
        *map(iter, requests),
        metadata=streams._metadata(client._call_metadata, requires_leader=True),
        credentials=client._call_credentials,
        **how,
    )


def _client_error(error: Exception) -> Exception:
    """A gRPC error as the client's own exception."""
    if hasattr(error, "code"):
        mapped: Exception = library().common.handle_rpc_error(error)
        return mapped
    return error


def _shared(error: Exception, call: _Call) -> Exception:
    """What ended a call, for those who share it: it may be about another's append."""
    if is_about_the_call(error) and not call.answered:
        return error
    return ConnectionResetError(f"the call of all appends ended: {error}")


async def _send(rpc: Any, requests: asyncio.Queue[Any]) -> None:
    """Send what is queued; ends the call where it cannot, so that nobody waits for an answer."""
    try:
        while True:
            await rpc.write(await requests.get())
    finally:
        rpc.cancel()


def version_of(response: Any, streams: Any, name: str, expected: ExpectedVersion) -> int:
    """The version of the last event. Raises the client's own errors for any other response."""
    if response.WhichOneof("result") != "success":
        streams._convert_batch_append_resp(response, name, expected)
    return int(response.success.current_revision)
