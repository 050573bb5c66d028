"""One long-lived BatchAppend call: requests go out as they come, answers find their callers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from harness.store import ExpectedVersion
from harness.stores.eventstoredb.library import library


@dataclass(slots=True)
class _Call:
    """One gRPC call, and the callers who wait for its answers."""

    requests: asyncio.Queue[Any]
    waiting: dict[UUID, asyncio.Future[Any]] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


class Batcher:
    """Appends of concurrent callers over one call; a fresh one after it has broken.

    Each request has a correlation id, which its answer repeats. Source: `streams.proto` of the
    server, rpc BatchAppend.
    """

    def __init__(self, client: Any, deadline_s: float) -> None:
        self._client, self._deadline_s = client, deadline_s
        self._call: _Call | None = None

    async def append(self, name: str, proposed: Sequence[Any], expected: Any) -> Any:
        """The server's answer. Raises what broke the call, or `TimeoutError`."""
        correlation = uuid4()
        request = self._streams._construct_batch_append_req(
            stream_name=name,
            current_version=expected,
            events=proposed,
            correlation_id=correlation,
            timeout=self._deadline_s,
        )
        call = self._open()
        answer = call.waiting[correlation] = asyncio.get_running_loop().create_future()
        call.requests.put_nowait(request)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await answer
        finally:
            call.waiting.pop(correlation, None)

    async def aclose(self) -> None:
        """End the call."""
        call, self._call = self._call, None
        if call is not None and call.task is not None:
            call.task.cancel()
            await asyncio.gather(call.task, return_exceptions=True)

    @property
    def _streams(self) -> Any:
        return self._client._connection.streams

    def _open(self) -> _Call:
        if self._call is None:
            call = self._call = _Call(asyncio.Queue())
            call.task = asyncio.create_task(self._carry(call))
        return self._call

    async def _carry(self, call: _Call) -> None:
        """Send what is queued and hand out what comes back, until the call breaks."""
        streams = self._streams
        under_way = streams._stub.BatchAppend(
            metadata=streams._metadata(self._client._call_metadata, requires_leader=True),
            credentials=self._client._call_credentials,
        )
        sending = asyncio.create_task(_send(under_way, call.requests))
        try:
            async for answer in under_way:
                waiting = call.waiting.get(UUID(answer.correlation_id.string))
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
            self._broken(call, ConnectionResetError("the server ended the call"))
        except Exception as error:
            self._broken(call, _named(error))
        finally:
            sending.cancel()
            under_way.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    def _broken(self, call: _Call, error: Exception) -> None:
        if self._call is call:
            self._call = None
        for waiting in call.waiting.values():
            if not waiting.done():
                waiting.set_exception(error)


def _named(error: Exception) -> Exception:
    """A fault of gRPC in the client's words."""
    if hasattr(error, "code"):
        named: Exception = library().common.handle_rpc_error(error)
        return named
    return error


async def _send(under_way: Any, requests: asyncio.Queue[Any]) -> None:
    while True:
        await under_way.write(await requests.get())


def answered(answer: Any, streams: Any, name: str, expected: ExpectedVersion) -> int:
    """The version of the last event. Raises what the client raises for such an answer."""
    if answer.WhichOneof("result") != "success":
        streams._convert_batch_append_resp(answer, name, expected)
    return int(answer.success.current_revision)
