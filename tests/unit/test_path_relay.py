"""The relay that makes a path longer, on real sockets; and addresses that lead through it."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress

import pytest

from harness.domain.errors import NoServer
from harness.domain.store import Endpoint
from harness.servers import TECHNOLOGIES
from harness.servers.path.relaying import relayed

LINE = TECHNOLOGIES["postgres"].line
RTT_MS = 20.0
MANY = bytes(range(256)) * 8192


@asynccontextmanager
async def echo(path=None):
    """A server that sends everything back: its DSN."""

    async def answer(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    if path:
        server = await asyncio.start_unix_server(answer, path / ".s.PGSQL.5432")
        dsn = f"postgresql://ann@/shop?host={path}"
    else:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        dsn = f"postgresql://ann@127.0.0.1:{server.sockets[0].getsockname()[1]}/shop?sslmode=x"
    async with server:
        yield dsn


@asynccontextmanager
async def connected(endpoint):
    ((host, port),) = TECHNOLOGIES["postgres"].line.parse(endpoint.address).hosts
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def shortest_round_trip_ms(reader, writer, times):
    took_ms = []
    for _ in range(times):
        began = time.monotonic()
        writer.write(b"?")
        await reader.readexactly(1)
        took_ms.append((time.monotonic() - began) * 1000)
    return min(took_ms)


@asynccontextmanager
async def through(dsn, rtt_ms):
    """A connection by way of a relay."""
    async with (
        relayed("postgres", LINE, Endpoint(dsn), rtt_ms) as relay,
        connected(relay.endpoint) as streams,
    ):
        yield streams


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
async def test_each_round_trip_takes_that_much_longer_once(tmp_path, unix):
    """The shortest one, since a busy machine makes others as long as it likes."""
    server = echo(tmp_path if unix else None)
    async with server as dsn, through(dsn, RTT_MS) as (reader, writer):
        took_ms = await shortest_round_trip_ms(reader, writer, 20)
    assert RTT_MS <= took_ms < 2 * RTT_MS


async def test_what_is_under_way_is_delayed_together_and_stays_in_order():
    async with echo() as dsn, through(dsn, RTT_MS) as (reader, writer):
        began = time.monotonic()
        writer.write(MANY)
        assert await reader.readexactly(len(MANY)) == MANY
        took_ms = (time.monotonic() - began) * 1000
    pieces = len(MANY) / 65536
    assert RTT_MS <= took_ms < pieces * RTT_MS / 2


async def test_an_end_on_one_side_reaches_the_other():
    async with echo() as dsn, through(dsn, 1.0) as (reader, writer):
        writer.write(b"last")
        writer.write_eof()
        assert await reader.read() == b"last"


async def test_where_nobody_serves_the_connection_is_cut():
    async with echo() as dsn:
        pass
    async with through(dsn, 1.0) as (reader, _):
        assert await reader.read() == b""


async def test_the_relay_ends_with_the_block():
    async with echo() as dsn:
        async with relayed("postgres", LINE, Endpoint(dsn), 1.0) as relay:
            pass
        with pytest.raises(ConnectionRefusedError):
            async with connected(relay.endpoint):
                pass


@pytest.mark.parametrize(
    ("technology", "address", "longer"),
    [
        (
            "postgres",
            "postgresql://ann@db:1/shop?sslmode=x",
            "postgresql://ann@127.0.0.1:7/shop?sslmode=x",
        ),
        ("postgres", "postgresql://ann@/shop?host=/run", "postgresql://ann@127.0.0.1:7/shop"),
        ("postgres", "postgresql:///shop?host=/run&port=9", "postgresql://127.0.0.1:7/shop"),
        ("dynamodb", "http://db:8000", "http://127.0.0.1:7"),
        ("umadb", "grpc://db:50051", "grpc://127.0.0.1:7"),
        ("kafka", "127.0.0.1:9092", "127.0.0.1:7"),
        ("eventstoredb", "esdb://db:2113?tls=false", "esdb://127.0.0.1:7?tls=false"),
    ],
)
def test_an_address_leads_through_a_local_port(technology, address, longer):
    assert TECHNOLOGIES[technology].line.through(address, 7) == longer


@pytest.mark.parametrize(
    ("technology", "address", "why"),
    [
        ("kafka", "127.0.0.1:9092", "its brokers send clients their own addresses"),
        ("dynamodb", "https://db", "a relay has no certificate"),
        ("umadb", "grpcs://db:50051", "a relay has no certificate"),
        ("kafka", "one:9092,two:9092", "its brokers send clients their own addresses"),
        ("postgres", "postgresql://one,two/shop", "the address names several"),
        ("eventstoredb", "esdb://db:2113", "a relay has no certificate"),
        ("eventstoredb", "esdb+discover://db:2113?tls=false", "ask the cluster"),
        ("memory", "", "it has no network"),
    ],
)
async def test_what_cannot_be_led_through_a_relay_is_refused(technology, address, why):
    row = TECHNOLOGIES.get(technology)
    line = row.line if row else None
    with pytest.raises(NoServer, match=f"{technology}: no relay on its path: .*{why}"):
        async with relayed(technology, line, Endpoint(address), 1.0):
            pass
