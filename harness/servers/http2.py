"""As much of HTTP/2 as tells that a server speaks it, and how long its shortest answer takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD_BYTES = 9
_SETTINGS, _PING, _ACKNOWLEDGED = 4, 6, 1
_PAYLOAD = b"eslab!!!"
_ANSWER_LIMIT_S = 2.0


class Connection:
    """One connection without streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def greet(self) -> None:
        """Exchange settings. Raises `ConnectionError` where the other end has none."""
        self._writer.write(_PREFACE + _frame(_SETTINGS))
        kind, _ = await self._next()
        if kind != _SETTINGS:
            raise ConnectionError("it does not speak HTTP/2")
        self._writer.write(_frame(_SETTINGS, flags=_ACKNOWLEDGED))

    async def ping(self) -> None:
        """A ping and its answer. Answers the server's own pings."""
        self._writer.write(_frame(_PING, _PAYLOAD))
        while True:
            kind, flags = await self._next()
            if kind == _PING and flags & _ACKNOWLEDGED:
                return

    async def _next(self) -> tuple[int, int]:
        """Type and flags of the next frame."""
        head = await self._reader.readexactly(_HEAD_BYTES)
        payload = await self._reader.readexactly(int.from_bytes(head[:3]))
        kind, flags = head[3], head[4]
        if kind == _PING and not flags & _ACKNOWLEDGED:
            self._writer.write(_frame(_PING, payload, flags=_ACKNOWLEDGED))
        return kind, flags


@asynccontextmanager
async def connected(host: str, port: int) -> AsyncIterator[Connection]:
    """A connection that has exchanged settings. Raises `OSError` or `EOFError`."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        connection = Connection(reader, writer)
        await connection.greet()
        yield connection
    finally:
        writer.close()


async def speaks(host: str, port: int) -> bool:
    """Whether a server there speaks HTTP/2, within a second or two."""
    try:
        async with asyncio.timeout(_ANSWER_LIMIT_S), connected(host, port):
            return True
    except (OSError, EOFError):
        return False


def _frame(kind: int, payload: bytes = b"", *, flags: int = 0) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + bytes(4) + payload
