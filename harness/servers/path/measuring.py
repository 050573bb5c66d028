"""The idle round trip of a server's path, measured before any load."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from harness.servers.path.lines import LINES
from harness.servers.protocol import Server
from harness.store import Endpoint

ROUND_TRIPS = 300
_UNCOUNTED = 100
"""The first ones find cold caches and a JVM that interprets."""
_LIMIT_S = 5.0
_NS_A_US = 1_000


@runtime_checkable
class Published(Protocol):
    """A server behind a published port."""

    @property
    def direct(self) -> Endpoint | None:
        """Its address past the port, where this machine can reach it."""
        ...

    @property
    def proxied(self) -> bool:
        """Whether a process carries every byte between the port and the server."""
        ...


@dataclass(frozen=True, slots=True)
class Path:
    """How a server is reached, and what the shortest answer takes that way when nothing else runs.

    A round trip holds the server's own work for that answer, too: compare those of one technology.
    """

    kind: str
    """unix socket, loopback, network, published port, docker-proxy or host network."""
    round_trip_us: float | None
    """Median; `None` where it could not be measured."""
    direct_round_trip_us: float | None = None
    """The same past the published port."""
    added_rtt_ms: float = 0.0


async def measure(server: Server, endpoint: Endpoint | None = None) -> Path:
    """The path to a server that answers; `endpoint` where it is reached another way."""
    reached = endpoint or server.endpoint
    direct = server.direct if isinstance(server, Published) and endpoint is None else None
    return Path(
        kind=_kind(server),
        round_trip_us=await _round_trip_us(server.technology, reached),
        direct_round_trip_us=await _round_trip_us(server.technology, direct) if direct else None,
    )


def _kind(server: Server) -> str:
    if isinstance(server, Published):
        if server.direct is None:
            return "host network"
        return "docker-proxy" if server.proxied else "published port"
    line = LINES.get(server.technology)
    host, port = line.parse(server.endpoint.address).hosts[0] if line else ("", 1)
    if not port:
        return "unix socket"
    return "loopback" if host in {"127.0.0.1", "::1", "localhost"} else "network"


async def _round_trip_us(technology: str, endpoint: Endpoint) -> float | None:
    """Median in µs; `None` where nobody answers that way."""
    line = LINES.get(technology)
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
        return None  # a driver has errors of its own; whatever it is, the path is not known
    return round(statistics.median(times_ns[_UNCOUNTED:]) / _NS_A_US, 1)
