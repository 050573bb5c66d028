"""A wire between a store and its server that can be told to swallow the server's answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

_CHUNK = 65_536


class Wire:
    """Passes bytes on between a port of loopback and an address, until `swallow`."""

    def __init__(self, address: str) -> None:
        self._there = _parsed(address)
        self._left: int | None = None
        self._ends: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    @staticmethod
    def fits(address: str) -> bool:
        """Whether the address is a URL that names one host and port, or a socket's directory."""
        try:
            there = _parsed(address)
        except ValueError:
            return False
        return bool(there.url.scheme and there.host and there.port)

    @property
    def address(self) -> str:
        """The same URL, by way of the wire."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        user, at, _ = self._there.url.netloc.rpartition("@")
        return self._there.url._replace(netloc=f"{user}{at}127.0.0.1:{port}").geturl()

    def swallow(self, *, after: int) -> None:
        """Let so many more answers through, and none behind them; nobody is told."""
        self._left = after

    def _swallows(self) -> bool:
        if self._left is None:
            return False
        self._left -= 1
        return self._left < 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for end in self._ends:
            end.transport.abort()

    async def _connected(self, near: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        self._ends.append(answers)
        try:
            far, requests = await self._there.opened()
        except OSError:
            answers.transport.abort()
            return
        self._ends.append(requests)
        await asyncio.gather(
            _pass_on(near, requests, unless=lambda: False),
            _pass_on(far, answers, unless=self._swallows),
        )


@dataclass(frozen=True, slots=True)
class _There:
    """A URL, without the host and port that libpq's URLs may have among their parameters."""

    url: SplitResult
    host: str
    port: int

    async def opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self.host}/.s.PGSQL.{self.port}")
        return await asyncio.open_connection(self.host, self.port)


def _parsed(address: str) -> _There:
    url = urlsplit(address)
    query = dict(parse_qsl(url.query))
    host, port = query.pop("host", url.hostname or ""), query.pop("port", url.port or 0)
    return _There(url._replace(query=urlencode(query)), host, int(port))


async def _pass_on(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, unless: Callable[[], bool]
) -> None:
    """Everything, except the pieces that are to be swallowed."""
    with suppress(OSError):
        while data := await source.read(_CHUNK):
            if not unless():
                sink.write(data)
                await sink.drain()
