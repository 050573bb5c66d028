"""Calls to one UmaDB server over a channel of its own, and its errors as the lab's.

The wheel's own client has no deadlines: a paused server would hold its calls for ever.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from harness.domain import grpc_environment
from harness.domain.cancellation import raise_if_cancelled
from harness.domain.costs import ROUND_TRIPS
from harness.domain.errors import (
    AppendRefused,
    BatchTooLarge,
    EventTooLarge,
    NoServer,
    StoreError,
    StoreUnavailable,
)
from harness.domain.proxies import proxy_to
from harness.domain.store import Endpoint
from harness.stores._shared.driver_errors import Mapped, Meanings, Table
from harness.stores._shared.drivers import lazy
from harness.stores.umadb.protocol import PROTOCOL, Fields, messages

if TYPE_CHECKING:
    import grpc
else:
    grpc = lazy("grpc", extra="umadb")

CONFLICT_RETRIES = "conflict_retries"
"""Tries under ANY and EXISTS that another append came before, in the costs."""
_UNLIMITED = -1
_REFUSAL_BYTES_MAX = 16 * 1024 * 1024
"""The most that gRPC takes; events of some 3 MB make longer refusals."""
_LONGER_REFUSAL = "received metadata size exceeds"
_OPTIONS = (
    ("grpc.max_send_message_length", _UNLIMITED),
    ("grpc.max_receive_message_length", _UNLIMITED),
    # A refusal repeats the event that matched, each byte in decimal and all of it twice: without
    # room for that it would be an unknown outcome.
    ("grpc.max_metadata_size", _REFUSAL_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", _REFUSAL_BYTES_MAX),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),  # else all channels of a process share a connection
    # By default gRPC waits up to two minutes between two attempts to connect. The smallest pause
    # is also the time that it gives an attempt, and a busy machine's server needs some.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 500),
)
_SECURE = "grpcs"
_DETAILS_MAX = 200
_MATCHED = "matched: "
"""Before the event, in a refusal."""


class Conflict(Exception):
    """The append's condition does not hold: an event matches it. Nothing was written."""

    def is_of(self, ids: Sequence[UUID]) -> bool:
        """Whether the event that matches has one of these ids, as far as the refusal tells."""
        matched = _details(self.__cause__).partition(_MATCHED)[2]
        return any(f"uuid: Some({each})" in matched for each in ids)


class Client:
    """One channel, which is one connection."""

    def __init__(self, endpoint: Endpoint, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._channel = _channel(endpoint)
        self._stub = PROTOCOL.stub(self._channel)
        self._read_one = self._channel.unary_unary(
            PROTOCOL.path("Read"), response_deserializer=_read_response
        )
        key = endpoint.credentials.get("api_key")
        self._metadata = (("authorization", f"Bearer {key}"),) if key else None
        self.costs: Counter[str] = Counter({ROUND_TRIPS: 0, CONFLICT_RETRIES: 0})

    async def aclose(self) -> None:
        """Cancel what is under way and close the connection."""
        await self._channel.close()

    async def head(self) -> int:
        """The log's last position, 0 for an empty log. Raises gRPC's errors, or `TimeoutError`."""
        async with asyncio.timeout(self._deadline_s):
            response = await self._call("Head", messages().HeadRequest())
        return int(response.position)

    async def append(self, events: Sequence[Fields], condition: Fields | None) -> int:
        """The last event's position. Raises `Conflict`, or gRPC's errors; it has no deadline."""
        request = messages().AppendRequest(events=events, condition=condition)
        try:
            response = await self._call("Append", request)
        except grpc.aio.AioRpcError as error:
            if _is_conflict(error):
                raise Conflict from error
            raise
        return int(response.position)

    async def read(self, **how: Any) -> AsyncGenerator[Any]:
        """The events that `ReadRequest(**how)` asks for; a limit of 0 is never sent.

        Raises gRPC's errors, and `TimeoutError` where nothing comes for as long as the deadline.
        """
        async with aclosing(self._stream("Read", messages().ReadRequest(**how))) as responses:
            async for response in responses:
                for event in response.events:
                    yield event

    async def read_one(self, **how: Any) -> Any | None:
        """The first event that `ReadRequest(**how)` asks for; `None` without one.

        A server answers a read of one event in one message, with the event or empty (0.7.8). So it
        is called as if it were no stream, which takes half of the client's CPU time; of a second
        message gRPC would never tell, and the deadline would pass.
        """
        self.costs[ROUND_TRIPS] += 1
        request = messages().ReadRequest(limit=1, **how).SerializeToString()
        async with asyncio.timeout(self._deadline_s):
            response = await self._read_one(request, metadata=self._metadata)
        return response.events[0] if response.events else None

    async def read_whole(self, **how: Any) -> tuple[list[Any], int | None]:
        """The same events at once, and the log's last position at the end of the read.

        With a limit, that is the last event's. `None` where there is neither.
        """
        found: list[Any] = []
        head = None
        async with aclosing(self._stream("Read", messages().ReadRequest(**how))) as responses:
            async for response in responses:
                found += response.events
                head = int(response.head) if response.HasField("head") else head
        return found, head

    async def subscribe(self, after: int) -> AsyncGenerator[Any]:
        """All events after a position, and then new ones; ends if the server ends it."""
        request = messages().SubscribeRequest(after=after)
        async with aclosing(self._stream("Subscribe", request, patient=True)) as responses:
            async for response in responses:
                for event in response.events:
                    yield event

    async def known(self, name: str) -> bool:
        """Whether the server has a call of this name. Raises gRPC's errors."""
        async with asyncio.timeout(self._deadline_s):
            try:
                call = self._channel.unary_unary(PROTOCOL.path(name))
                await call(b"", metadata=self._metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    return False
                raise
        return True

    async def _call(self, name: str, request: Any) -> Any:
        self.costs[ROUND_TRIPS] += 1
        return await getattr(self._stub, name)(request.SerializeToString(), metadata=self._metadata)

    async def _stream(
        self, name: str, request: Any, *, patient: bool = False
    ) -> AsyncGenerator[Any]:
        self.costs[ROUND_TRIPS] += 1
        call = getattr(self._stub, name)(request.SerializeToString(), metadata=self._metadata)
        try:
            while True:
                async with asyncio.timeout(None if patient else self._deadline_s):
                    response = await call.read()
                raise_if_cancelled()
                if response is grpc.aio.EOF:
                    return
                yield response
        finally:
            call.cancel()


def _read_response(message: bytes | None) -> Any:
    """The server's one message, or what it means that there is none."""
    return messages().ReadResponse.FromString(message or b"")


def query(*items: Sequence[str]) -> Fields:
    """Events that have all the tags of any of the items."""
    return {"items": [{"tags": tags} for tags in items]}


def none_after(position: int | None, *items: Sequence[str]) -> Fields:
    """The condition that no event after the position, or at all, has all tags of any item."""
    return {"fail_if_events_match": query(*items), "after": position}


def _channel(endpoint: Endpoint) -> Any:
    grpc_environment.prepare()
    parts = urlsplit(endpoint.address)
    proxy = proxy_to(endpoint.address)
    way = ("grpc.http_proxy", proxy.url) if proxy else ("grpc.enable_http_proxy", 0)
    options = [*_OPTIONS, way]
    if parts.scheme != _SECURE:
        return grpc.aio.insecure_channel(parts.netloc, options=options)
    authority = parse_qs(parts.query).get("ca", [""])[0]
    try:
        roots = Path(authority).read_bytes() if authority else None
    except OSError as error:
        why = error.strerror or error
        raise NoServer(f"umadb: the certificate {authority!r} cannot be read: {why}") from None
    credentials = grpc.ssl_channel_credentials(root_certificates=roots)
    return grpc.aio.secure_channel(parts.netloc, credentials, options=options)


def _is_conflict(error: Any) -> bool:
    """A refusal that is too long to be received is one as well: no other answer has a text of an
    event's length."""
    code = error.code()
    too_long = _LONGER_REFUSAL in _details(error)
    return code is grpc.StatusCode.FAILED_PRECONDITION or (
        code is grpc.StatusCode.RESOURCE_EXHAUSTED and too_long
    )


def _details(error: Any) -> str:
    return error.details() or ""


def _described(error: BaseException) -> str:
    """gRPC's code and the first line of what the server says."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return type(error).__name__
    lines = (error.details() or "").splitlines() or [""]
    return f"{error.code().name}: {lines[0][:_DETAILS_MAX]}"


_MEANINGS = Meanings("UmaDB", _described)


def _refused(error: Any) -> AppendRefused:
    return AppendRefused(_described(error), reason=error.code().name)


def _unavailable(error: Any) -> StoreError:
    """The append is certainly not written only where there was no connection to send it on."""
    never_sent = "failed to connect" in (error.details() or "").lower()
    return (_MEANINGS.not_connected if never_sent else _MEANINGS.unknown)(error)


def appending(events: int) -> Mapped:
    """Maps the errors of an append of that many events, while it is made and after it was sent."""
    return _APPENDING_ONE if events == 1 else _APPENDING_SEVERAL


def _appending(too_large: type[StoreError]) -> Mapped:
    def meaning(error: Any) -> StoreError:
        code = grpc.StatusCode
        refusals = (code.INVALID_ARGUMENT, code.UNAUTHENTICATED, code.PERMISSION_DENIED)
        meanings = {
            code.OUT_OF_RANGE: lambda error: too_large(_described(error)),
            code.UNAVAILABLE: _unavailable,
            code.UNIMPLEMENTED: _refused,
            **dict.fromkeys(refusals, _refused),
        }
        return meanings.get(error.code(), _MEANINGS.unknown)(error)

    return Mapped(lambda: {grpc.aio.AioRpcError: meaning, ValueError: _not_made})


_APPENDING_ONE, _APPENDING_SEVERAL = _appending(EventTooLarge), _appending(BatchTooLarge)


def _not_made(error: BaseException) -> AppendRefused:
    """Text that is no Unicode, or more than a message can hold."""
    return AppendRefused(f"no message can be made of it: {error}", reason=type(error).__name__)


@cache
def _reads() -> Table:
    return {TimeoutError: _MEANINGS.late, grpc.aio.AioRpcError: _MEANINGS.failed}


def _connecting(error: Any) -> Exception:
    code = grpc.StatusCode
    if error.code() in (code.UNAUTHENTICATED, code.PERMISSION_DENIED):
        return NoServer(f"umadb: {_described(error)}")
    return _MEANINGS.not_connected(error)


def _nothing_sent(error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(f"nothing was sent: {_described(error)}")


def _not_set_up(error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(f"setup: {_described(error)}")


READING = Mapped(_reads)
CONNECTING = Mapped(
    lambda: {grpc.aio.AioRpcError: _connecting, TimeoutError: _MEANINGS.not_connected}
)
LOOKING = Mapped(lambda: {grpc.aio.AioRpcError: _nothing_sent})
"""Maps the errors of reads that precede an append; their time is the append's."""
SETTING_UP = Mapped(lambda: {grpc.aio.AioRpcError: _not_set_up, TimeoutError: _not_set_up})
