"""The path from generator to server, and its idle round trip.

A ping is the least that a server answers. Connecting alone would not do: docker-proxy accepts for
a container that may not even run.
"""

from __future__ import annotations

import asyncio
import importlib
import statistics
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from harness.domain.cancellation import raise_if_cancelled
from harness.domain.proxies import is_loopback, proxy_to
from harness.domain.server import Server
from harness.domain.store import Endpoint
from harness.servers import http2
from harness.servers.external import Address
from harness.servers.native import kafka

Ping = Callable[[], Awaitable[None]]
Pinging = Callable[[Endpoint, Address], AbstractAsyncContextManager[Ping]]
_HTTP = b"GET / HTTP/1.1\r\nHost: eslab\r\n\r\n"
_LENGTH = b"content-length:"
_SECURE = ("https:", "grpcs:")
_PLAIN = "tls=false"


@asynccontextmanager
async def postgres_ping(endpoint: Endpoint, address: Address) -> AsyncIterator[Ping]:
    """`SELECT 1`, prepared: one round trip of the driver that the adapter uses."""
    del address
    asyncpg = importlib.import_module("asyncpg")
    connection = await asyncpg.connect(
        endpoint.address, password=endpoint.credentials.get("password")
    )
    try:
        statement = await connection.prepare("SELECT 1")
        yield statement.fetchval
    finally:
        await connection.close()


@asynccontextmanager
async def kafka_ping(endpoint: Endpoint, address: Address) -> AsyncIterator[Ping]:
    """A request for the metadata of no topics; for brokers without authentication."""
    del endpoint
    async with _connected(address) as (reader, writer):

        async def ping() -> None:
            writer.write(kafka.REQUEST)
            (length,) = struct.unpack(">i", await reader.readexactly(4))
            await reader.readexactly(length)

        yield ping


@asynccontextmanager
async def http_ping(endpoint: Endpoint, address: Address) -> AsyncIterator[Ping]:
    """A request on a kept connection that the server refuses at once; without TLS."""
    if endpoint.address.startswith(_SECURE):
        raise ConnectionError("no ping over TLS")
    async with _connected(address) as (reader, writer):

        async def ping() -> None:
            writer.write(_HTTP)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = next(
                (line for line in head.split(b"\r\n") if line.startswith(_LENGTH)), _LENGTH + b"0"
            )
            await reader.readexactly(int(length.removeprefix(_LENGTH)))

        yield ping


@asynccontextmanager
async def http2_ping(endpoint: Endpoint, address: Address) -> AsyncIterator[Ping]:
    """HTTP/2's own ping on a kept connection; without TLS."""
    if endpoint.address.startswith(_SECURE):
        raise ConnectionError("no ping over TLS")
    async with http2.connected(*address.hosts[0]) as connection:
        yield connection.ping


@asynccontextmanager
async def eventstoredb_ping(endpoint: Endpoint, address: Address) -> AsyncIterator[Ping]:
    """HTTP/2's own ping; without TLS, which is what clients expect by default."""
    if _PLAIN not in endpoint.address.lower():
        raise ConnectionError("no ping over TLS")
    async with http2_ping(endpoint, address) as ping:
        yield ping


@asynccontextmanager
async def _connected(
    address: Address,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*address.hosts[0])
    try:
        yield reader, writer
    finally:
        writer.close()


_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Line:
    """What the lab knows of a technology to measure the path to its server, or to lengthen it."""

    parse: Callable[[str], Address]
    ping: Pinging
    through: Callable[[str, int], str]
    """The address with a relay's local port in its place."""
    unfit: Callable[[Endpoint], str] = lambda _: ""
    """Why this server's clients cannot use a relay; empty if they can."""


def postgres_through(address: str, port: int) -> str:
    parts = urlsplit(address)
    user, at, _ = parts.netloc.rpartition("@")
    query = [(k, v) for k, v in parse_qsl(parts.query) if k not in {"host", "port"}]
    netloc = f"{user}{at}{_HOST}:{port}"
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(query), ""))


def url_through(address: str, port: int) -> str:
    return urlunsplit(urlsplit(address)._replace(netloc=f"{_HOST}:{port}"))


def kafka_through(address: str, port: int) -> str:
    del address
    return f"{_HOST}:{port}"


def kafka_unfit(endpoint: Endpoint) -> str:
    if endpoint.for_relay:
        return ""
    return (
        "its brokers send clients their own addresses, so that clients bypass a relay; a broker"
        " that a run starts has a listener for one"
    )


def eventstoredb_unfit(endpoint: Endpoint) -> str:
    if "+discover" in endpoint.address.partition("://")[0]:
        return "its clients ask the cluster for its members' addresses, and bypass a relay"
    return "" if _PLAIN in endpoint.address.lower() else "a relay has no certificate for the server"


ROUND_TRIPS = 300
_UNCOUNTED = 100
"""The first ones find cold caches and a JVM that interprets."""
_LIMIT_S = 5.0
_NS_A_US = 1_000


@runtime_checkable
class Published(Protocol):
    """A server at a published port."""

    @property
    def direct(self) -> Endpoint | None:
        """Its address without the published port, where this machine can reach it."""
        ...

    @property
    def proxied(self) -> bool:
        """Whether a process carries every byte between the port and the server."""
        ...


PROXIED = "proxy"


@dataclass(frozen=True, slots=True)
class ServerPath:
    """How a server is reached, and how long the shortest answer takes when nothing else runs.

    A round trip includes the server's work for that answer: compare only one technology's.
    """

    kind: str
    """unix socket, loopback, network, proxy, published port, docker-proxy or host network."""
    round_trip_us: float | None
    """Median, in µs; `None` where it could not be measured."""
    direct_round_trip_us: float | None = None
    """The same without the published port."""
    added_rtt_ms: float = 0.0


async def measure(
    server: Server, line: Line | None, endpoint: Endpoint | None = None
) -> ServerPath:
    """The path to a server that answers; `endpoint` if clients reach it at another address."""
    reached = endpoint or server.endpoint
    direct = server.direct if isinstance(server, Published) and endpoint is None else None
    kind = await asyncio.to_thread(_kind, server, line)
    if kind == PROXIED:
        return ServerPath(kind, None)  # a ping of the lab's would go past the proxy
    return ServerPath(
        kind=kind,
        round_trip_us=await _round_trip_us(line, reached),
        direct_round_trip_us=await _round_trip_us(line, direct) if direct else None,
    )


def _kind(server: Server, line: Line | None) -> str:
    if isinstance(server, Published):
        if server.direct is None:
            return "host network"
        return "docker-proxy" if server.proxied else "published port"
    if proxy_to(server.endpoint.address):
        return PROXIED
    host, port = line.parse(server.endpoint.address).hosts[0] if line else ("", 1)
    if not port:
        return "unix socket"
    return "loopback" if is_loopback(host) else "network"


async def _round_trip_us(line: Line | None, endpoint: Endpoint) -> float | None:
    """Median in µs; `None` where no server answers."""
    if line is None:
        return None
    times_ns = []
    try:
        async with asyncio.timeout(_LIMIT_S):
            async with line.ping(endpoint, line.parse(endpoint.address)) as ping:
                for _ in range(_UNCOUNTED + ROUND_TRIPS):
                    began_ns = time.perf_counter_ns()
                    await ping()
                    times_ns.append(time.perf_counter_ns() - began_ns)
    except Exception:
        raise_if_cancelled()
        return None  # drivers have their own errors; any of them leaves the path unknown
    return round(statistics.median_low(times_ns[_UNCOUNTED:]) / _NS_A_US, 1)
