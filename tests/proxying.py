"""A small real proxy: it counts who comes, and carries what they send to one server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "no_proxy", "no_grpc_proxy")
_BOTH = (*VARIABLES, *map(str.upper, VARIABLES))


class Proxy:
    """Whatever host a request names, it reaches `target_port` of this machine."""

    def __init__(self, target_port: int = 0) -> None:
        self.target_port = target_port
        self.asked_for: list[str] = []
        """The first line of each connection: what its client wanted to reach."""
        self.url = ""

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Tunnel after CONNECT; hand anything else on as it is, which HTTP servers accept."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # a client that only looked whether somebody is there
            writer.close()
            return
        self.asked_for.append(head.partition(b"\r\n")[0].decode())
        there, back = await asyncio.open_connection("127.0.0.1", self.target_port)
        if head.startswith(b"CONNECT "):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            back.write(head)
        await asyncio.gather(_pump(reader, back), _pump(there, writer), return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@asynccontextmanager
async def proxy(target_port: int = 0) -> AsyncIterator[Proxy]:
    """A running one."""
    subject = Proxy(target_port)
    server = await asyncio.start_server(subject.carry, "127.0.0.1", 0)
    subject.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield subject
    finally:
        server.close()


def named_by(monkeypatch, **variables: str) -> None:
    """These variables of all that name proxies, and none of the others."""
    for name in _BOTH:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
