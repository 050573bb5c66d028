"""POST over kept connections: all that DynamoDB's protocol asks of HTTP/1.1.

aiohttp, which serves every kind of request, takes most of a call's client CPU time:
docs/adr/0046. Answers are parsed by httptools, in C.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, unquote, urlsplit
from weakref import WeakSet

from harness.domain.proxies import Proxy
from harness.stores._shared.drivers import lazy
from harness.stores.dynamodb.driver import NotReached, Unanswered, not_reached, unanswered

if TYPE_CHECKING:
    import httptools
else:
    httptools = lazy("httptools", extra="dynamodb")

Answer = tuple[int, bytes]
"""A status and a body."""

_KEPT_FOR_S = 15.0
"""A server that closes an idle connection does so later: DynamoDB Local after 30 s."""
_SECURE = "https"
_PORTS = {"http": 80, _SECURE: 443}
_OK = 200
_TUNNEL_ANSWER_MAX = 65_536
_SHOWN_MAX = 100


class Poster:
    """Posts to one URL, at most `connections` at once; the others wait for their turn."""

    def __init__(
        self, url: str, *, proxy: Proxy | None, connections: int, connect_within_s: float
    ) -> None:
        self._way = _Way(url, proxy)
        self._places = asyncio.Semaphore(connections)
        self._connect_within_s = connect_within_s
        self._idle: list[_Connection] = []
        self._open: WeakSet[_Connection] = WeakSet()
        self._now = asyncio.get_running_loop().time

    async def post(self, headers: Mapping[str, str], payload: bytes) -> Answer:
        """One request and its answer, without a deadline.

        Raises `NotReached` where there is no connection, and `Unanswered` where it breaks or the
        answer is not HTTP. A post that is cancelled closes its connection.
        """
        request = self._way.request(headers, payload)
        async with self._places:
            connection = self._kept() or await self._connected()
            try:
                answer = await connection.exchange(request)
            except BaseException:
                connection.abort()
                raise
            connection.idle_since_s = self._now()
            self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close all connections; calls under way end as `Unanswered`."""
        for connection in [*self._open]:
            connection.abort()

    def _kept(self) -> _Connection | None:
        """The connection that was used last, if the server can be expected to keep it."""
        oldest_s = self._now() - _KEPT_FOR_S
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and connection.idle_since_s > oldest_s:
                return connection
            connection.abort()
        return None

    async def _connected(self) -> _Connection:
        try:
            async with asyncio.timeout(self._connect_within_s):
                connection = await self._way.connected()
        except TimeoutError:
            raise NotReached(f"no connection within {self._connect_within_s:g} s") from None
        except (OSError, UnicodeError) as error:  # the latter for a name that no host can have
            raise not_reached(error) from error
        self._open.add(connection)
        return connection


class _Connection(asyncio.Protocol):
    """One connection, with one request under way at a time."""

    def __init__(self) -> None:
        self.idle_since_s = 0.0
        self._transport: Any = None
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._answer: asyncio.Future[Answer] | None = None

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return not self._transport.is_closing()

    def exchange(self, request: bytes) -> asyncio.Future[Answer]:
        """Send it; its answer, or `Unanswered`."""
        self._answer = answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return answer

    def abort(self) -> None:
        """Close it at once."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(unanswered(error))
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(unanswered(error or ConnectionResetError("closed before the answer ended")))

    def on_body(self, part: bytes) -> None:
        """A part of the answer's body."""
        self._body.append(part)

    def on_message_complete(self) -> None:
        """The end of an answer, or of an interim response, which comes before one."""
        status, body = self._parser.get_status_code(), b"".join(self._body)
        self._body.clear()
        if status < _OK:
            return
        answer, self._answer = self._answer, None
        # What nobody has asked for is no answer to the next request.
        if answer is None or not self._parser.should_keep_alive():
            self._transport.close()
        if answer is not None and not answer.done():
            answer.set_result((status, body))

    def _fail(self, error: Unanswered) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)


class _Way:
    """How connections to a URL are made, and how requests on them begin."""

    def __init__(self, url: str, proxy: Proxy | None) -> None:
        self._server = urlsplit(url)
        self._proxy = urlsplit(proxy.url) if proxy else None
        self._secure = self._server.scheme == _SECURE
        target, more = quote(self._server.path, safe="/~%"), ""
        if self._proxy and not self._secure:
            target = f"http://{self._server.netloc}{target}"
            more = _authorization(self._proxy)
        self._begin = f"POST {target} HTTP/1.1\r\n{more}"

    def request(self, headers: Mapping[str, str], payload: bytes) -> bytes:
        """All that is sent."""
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = f"{self._begin}{lines}content-length: {len(payload)}\r\n\r\n"
        return head.encode() + payload

    async def connected(self) -> _Connection:
        """A connection to the server, or to the proxy that hands requests on.

        Raises `OSError` and `NotReached`, and has no deadline.
        """
        loop = asyncio.get_running_loop()
        first = self._proxy or self._server
        context = self._context if first.scheme == _SECURE else None
        place = (first.hostname or "", first.port or _PORTS[first.scheme])
        if not self._proxy or not self._secure:
            return (await loop.create_connection(_Connection, *place, ssl=context))[1]
        transport, tunnel = await loop.create_connection(_Tunnel, *place, ssl=context)
        try:
            await tunnel.opened(self._connect_request(self._proxy))
            connection = _Connection()
            host = self._server.hostname
            over = await loop.start_tls(transport, connection, self._context, server_hostname=host)
            assert over is not None
            connection.connection_made(over)
        except BaseException:
            transport.abort()
            raise
        return connection

    @cached_property
    def _context(self) -> ssl.SSLContext:
        """Trusts what the system trusts, and what is in the file that SSL_CERT_FILE names."""
        return ssl.create_default_context()

    def _connect_request(self, proxy: SplitResult) -> bytes:
        host = self._server.hostname or ""
        name = f"[{host}]" if ":" in host else host
        place = f"{name}:{self._server.port or _PORTS[_SECURE]}"
        lines = f"CONNECT {place} HTTP/1.1\r\nhost: {place}\r\n{_authorization(proxy)}\r\n"
        return lines.encode()


class _Tunnel(asyncio.Protocol):
    """A connection to a proxy up to the point where it leads to the server."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._told = b""
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def opened(self, request: bytes) -> None:
        """Raises `NotReached` where the proxy refuses."""
        self._transport.write(request)
        status, _, _ = (await self._answer).partition(b"\r\n")
        if status.split(b" ")[1:2] != [str(_OK).encode()]:
            raise NotReached(f"the proxy refused: {status[:_SHOWN_MAX].decode('latin-1')}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._told += data
        complete = b"\r\n\r\n" in self._told or len(self._told) > _TUNNEL_ANSWER_MAX
        if complete and not self._answer.done():
            self._answer.set_result(self._told)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the proxy closed"))


def _authorization(proxy: SplitResult) -> str:
    """The header for a proxy with a user; empty without one."""
    if proxy.username is None:
        return ""
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return f"proxy-authorization: Basic {base64.b64encode(pair.encode()).decode()}\r\n"
