"""Faults on the way to a server and in it: answers that get lost, and restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import NotReached, Step
from harness.domain.errors import StoreError
from harness.domain.server import Server

_CHUNK = 65_536


class LossyProxy:
    """Forwards bytes between a loopback port and an address, until `drop_answers`."""

    def __init__(self, address: str) -> None:
        self._target = _parsed(address)
        self._answers_left: int | None = None
        self._ends: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    @staticmethod
    def fits(address: str) -> bool:
        """Whether the address is a URL that names one host and port, or a socket's directory."""
        try:
            target = _parsed(address)
        except ValueError:
            return False
        return bool(target.url.scheme and target.host and target.port)

    @property
    def address(self) -> str:
        """The same URL, through the proxy."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        user, at, _ = self._target.url.netloc.rpartition("@")
        return self._target.url._replace(netloc=f"{user}{at}127.0.0.1:{port}").geturl()

    def drop_answers(self, *, after: int) -> None:
        """Forward `after` more answers and drop the rest; connections stay open."""
        self._answers_left = after

    def _drops(self) -> bool:
        if self._answers_left is None:
            return False
        self._answers_left -= 1
        return self._answers_left < 0

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
            far, requests = await self._target.connect()
        except OSError:
            answers.transport.abort()
            return
        self._ends.append(requests)
        await asyncio.gather(
            _forward(near, requests, unless=lambda: False),
            _forward(far, answers, unless=self._drops),
        )


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL, without the host and port that libpq's URLs may have as parameters."""

    url: SplitResult
    host: str
    port: int

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self.host}/.s.PGSQL.{self.port}")
        return await asyncio.open_connection(self.host, self.port)


def _parsed(address: str) -> _Target:
    url = urlsplit(address)
    query = dict(parse_qsl(url.query))
    host, port = query.pop("host", url.hostname or ""), query.pop("port", url.port or 0)
    return _Target(url._replace(query=urlencode(query)), host, int(port))


async def _forward(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, unless: Callable[[], bool]
) -> None:
    """Forward everything, except chunks for which `unless` is true."""
    with suppress(OSError):
        while data := await source.read(_CHUNK):
            if not unless():
                sink.write(data)
                await sink.drain()


async def restart(context: CheckContext, server: Server) -> Step:
    """Restart the server; a line of evidence. Raises `NotReached` if nothing proves the restart.

    Another process answers after a restart. If the server does not report its process, the
    connection must have been lost.
    """
    step = Step("the lab", "restarted the server", at_ms=context.at_ms())
    context.steps.append(step)
    before = server.endpoint.pid
    await server.restart()
    if server.endpoint.pid == before and not await _lost(context):
        raise NotReached("the same process answers after the restart, over the same connection")
    return step


async def _lost(context: CheckContext) -> bool:
    """Whether the check's connection is lost."""
    return isinstance(await context.try_append(context.stream(), context.events()), StoreError)
