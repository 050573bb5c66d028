"""The least that each technology's server answers: one small request, one small answer.

Connecting alone would not do: docker-proxy accepts for a container that may not even run.
"""

from __future__ import annotations

import asyncio
import importlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from harness.servers import kafka_answer
from harness.servers.external import Address
from harness.store import Endpoint

Ping = Callable[[], Awaitable[None]]
Pinging = Callable[[Endpoint, Address], AbstractAsyncContextManager[Ping]]
_HTTP = b"GET / HTTP/1.1\r\nHost: eslab\r\n\r\n"
_LENGTH = b"content-length:"


@asynccontextmanager
async def postgres(endpoint: Endpoint, address: Address) -> AsyncIterator[Ping]:
    """`SELECT 1`, prepared: a round trip of the driver's, which the adapter uses, too."""
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
async def kafka(endpoint: Endpoint, address: Address) -> AsyncIterator[Ping]:
    """A request for the metadata of no topics; of a broker that lets everybody in."""
    del endpoint
    async with _connected(address) as (reader, writer):

        async def ping() -> None:
            writer.write(kafka_answer.REQUEST)
            (length,) = struct.unpack(">i", await reader.readexactly(4))
            await reader.readexactly(length)

        yield ping


@asynccontextmanager
async def http(endpoint: Endpoint, address: Address) -> AsyncIterator[Ping]:
    """A request on a kept connection that the server refuses at once; without TLS."""
    if endpoint.address.startswith("https:"):
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
async def _connected(
    address: Address,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*address.hosts[0])
    try:
        yield reader, writer
    finally:
        writer.close()
