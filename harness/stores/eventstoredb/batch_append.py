"""One long-lived BatchAppend call for the appends of all concurrent callers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from harness.domain.store import ExpectedVersion
from harness.stores.eventstoredb.client import BUILDING, is_about_the_call, library

ALONE_FROM_BYTES = 1 << 20
"""From this size on, an append gets a call of its own.

A message that is over the server's limit ends its call, and the appends of others with it.
"""


@dataclass(slots=True)
class _Call:
    """One gRPC call, and the callers that wait for its responses."""

    requests: asyncio.Queue[Any]
    waiting: dict[str, asyncio.Future[Any]] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    answered: bool = False


class Batcher:
    """Sends the appends of concurrent callers over one call, and opens another when it breaks.

    Each request has a correlation id, which its response repeats. Source: the server's
    `streams.proto`, rpc BatchAppend.
    """

    def __init__(self, client: Any, deadline_s: float) -> None:
        self._client, self._deadline_s = client, deadline_s
        self._call: _Call | None = None

    async def append(self, name: str, proposed: Sequence[Any], expected: Any) -> Any:
        """The server's response. Raises the error that broke the call, or `TimeoutError`."""
        request = request_of(self._client, name, proposed, expected, self._deadline_s)
        if sum(len(one.data) + len(one.metadata) for one in proposed) >= ALONE_FROM_BYTES:
            return await answered_alone(self._client, request, self._deadline_s)
        correlation = request.correlation_id.string
        call = self._open()
        response = call.waiting[correlation] = asyncio.get_running_loop().create_future()
        call.requests.put_nowait(request)
        try:
            async with asyncio.timeout(self._deadline_s):
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
            rpc = _opened(self._client)
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
                if waiting is not None and not waiting.done():
                    waiting.set_result(response)
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
        for waiting in call.waiting.values():
            if not waiting.done():
                waiting.set_exception(error)


def request_of(
    client: Any, name: str, proposed: Sequence[Any], expected: Any, deadline_s: float
) -> Any:
    """A request with a new correlation id. Raises `AppendRefused` where none can be made."""
    with BUILDING:
        return client._connection.streams._construct_batch_append_req(
            stream_name=name,
            current_version=expected,
            events=proposed,
            correlation_id=uuid4(),
            timeout=deadline_s,
        )


async def answered_alone(client: Any, request: Any, deadline_s: float) -> Any:
    """The response to a request on a call of its own. Raises the client's own errors."""
    rpc = _opened(client, [request], timeout=deadline_s)
    try:
        async for response in rpc:
            return response
    except Exception as error:
        raise _client_error(error) from None
    finally:
        rpc.cancel()
    raise ConnectionResetError("the server ended the call")


def _opened(client: Any, *requests: Sequence[Any], **how: Any) -> Any:
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
