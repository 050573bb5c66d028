"""The double's port: one for gRPC and for HTTP, as the servers have it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

from .state import State

_PREFACE = b"PRI"
"""How a connection of HTTP/2 begins, and with it gRPC."""
_PIECE_BYTES = 1 << 18


class Front:
    """Listens at the port, passes gRPC on, and answers what is asked over HTTP itself."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.connections: set[asyncio.StreamWriter] = set()
        """Those of gRPC that are open."""
        self._behind = 0
        self.greets_after_s = 0.0
        """How long a new connection of gRPC waits for its first answer."""

    async def open(self, port: int, behind: int) -> None:
        """Listen; `behind` is where gRPC is spoken."""
        self._behind = behind
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port)

    async def close(self) -> None:
        """Cut every connection."""
        if self._server is not None:
            self._server.close()
        for writer in [*self._writers]:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                first = await reader.readexactly(len(_PREFACE))
                if first == _PREFACE:
                    self.connections.add(writer)
                    await asyncio.sleep(self.greets_after_s)
                    await self._pass_on(first, reader, writer)
                else:
                    await self._answer(first, reader, writer)
        finally:
            self._writers.discard(writer)
            self.connections.discard(writer)
            writer.close()

    async def _pass_on(
        self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._behind)
        self._writers.add(back)
        back.write(first)
        ways = [asyncio.create_task(_pump(*way)) for way in ((reader, back), (there, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._writers.discard(back)
            back.close()
            for way in ways:
                way.cancel()

    async def _answer(
        self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Source: the table "Over HTTP" of what real servers answered."""
        request = first + await reader.readuntil(b"\r\n\r\n")
        await self._state.going.wait()
        code, told = self._told(
            request.split()[1].decode(), b"\r\nauthorization:" in request.lower()
        )
        body = b"" if told is None else json.dumps(told).encode()
        head = f"HTTP/1.1 {code} Double\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    def _told(self, path: str, with_credentials: bool) -> tuple[int, object]:
        state = self._state
        open_to_all = path == "/health/live" and not state.release.several_streams
        if state.secured and with_credentials and not open_to_all:
            return 401, None
        if path == "/health/live":
            return 204, None
        if path == "/info":
            features = {"projections": state.projections, "userManagement": False, "atomPub": False}
            return 200, {**state.release.info, "state": "leader", "features": features}
        if path != "/info/options":
            return 404, None
        if state.secured:
            return 401, None
        limits = {"MaxAppendSize": state.release.append_bytes}
        if state.release.event_bytes is not None:
            limits["MaxAppendEventSize"] = state.release.event_bytes
        values = {**state.options, **{name: str(value) for name, value in limits.items()}}
        return 200, [{"name": name, "value": value} for name, value in values.items()]


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await source.read(_PIECE_BYTES):
            target.write(piece)
            await target.drain()
