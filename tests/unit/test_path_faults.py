"""A relay that is told to fail, on real sockets: each fault does what it says, and ends."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager, suppress

import pytest

from harness.domain.errors import LabError
from harness.domain.store import Endpoint
from harness.servers import TECHNOLOGIES
from harness.servers.path import relay as relay_process
from harness.servers.path.relaying import relayed

LINE = TECHNOLOGIES["dynamodb"].line
A_WHILE_S = 0.2
"""In which whatever passes at all has passed."""
MANY = bytes(range(256)) * 8192


class Server:
    """Keeps what it gets, and sends what the test says."""

    def __init__(self):
        self.writers = []
        self.received = b""
        self.errors = []
        self.changed = asyncio.Event()

    async def serve(self, reader, writer):
        self.writers.append(writer)
        try:
            while data := await reader.read(65536):
                self.received += data
                self.changed.set()
                writer.write(data.upper())
                await writer.drain()
        except ConnectionError as error:
            self.errors.append(error)
            self.changed.set()
        writer.close()

    async def got(self, data):
        await self.until(lambda: self.received == data)

    async def until(self, condition):
        while not condition():
            self.changed.clear()
            await self.changed.wait()


@asynccontextmanager
async def serving():
    """A server, and its endpoint."""
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listening:
        yield server, Endpoint(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")


@asynccontextmanager
async def behind_a_relay(rtt_ms=0.0):
    async with (
        asyncio.timeout(30),
        serving() as (server, endpoint),
        relayed("dynamodb", LINE, endpoint, rtt_ms) as relay,
    ):
        yield server, relay


@asynccontextmanager
async def connected(relay):
    ((host, port),) = LINE.parse(relay.endpoint.address).hosts
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def echoed(streams, text):
    reader, writer = streams
    writer.write(text)
    return await reader.readexactly(len(text))


async def nothing_comes(reader):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), A_WHILE_S)


async def test_while_the_network_is_cut_nothing_passes_either_way():
    async with behind_a_relay() as (server, relay), connected(relay) as client:
        assert await echoed(client, b"before") == b"BEFORE"
        await relay.cut()
        client[1].write(b"+request")
        server.writers[0].write(b"+push")
        await nothing_comes(client[0])
        assert server.received == b"before"


async def test_what_waits_while_the_network_is_cut_passes_afterwards_over_the_same_connection():
    async with behind_a_relay() as (server, relay), connected(relay) as client:
        assert await echoed(client, b"before") == b"BEFORE"
        await relay.cut()
        client[1].write(b"+during")
        await relay.restore()
        assert await client[0].readexactly(7) == b"+DURING"
        assert server.received == b"before+during"
        assert len(server.writers) == 1


async def test_a_connection_made_while_the_network_is_cut_reaches_the_server_afterwards():
    async with behind_a_relay() as (server, relay):
        await relay.cut()
        async with connected(relay) as client:
            client[1].write(b"late")
            await nothing_comes(client[0])
            assert not server.writers
            await relay.restore()
            assert await client[0].readexactly(4) == b"LATE"


async def test_a_client_that_gives_up_while_the_network_is_cut_is_heard_afterwards():
    async with behind_a_relay() as (server, relay):
        async with connected(relay) as client:
            assert await echoed(client, b"a") == b"A"
            await relay.cut()
            client[1].write(b"b")
        await asyncio.sleep(A_WHILE_S)
        assert server.received == b"a"
        await relay.restore()
        await server.got(b"ab")


async def test_a_cut_amid_much_data_changes_nothing_of_it():
    async with behind_a_relay() as (_, relay), connected(relay) as (reader, writer):
        writer.write(MANY)
        reading = asyncio.create_task(reader.readexactly(len(MANY)))
        for _ in range(5):
            await relay.cut()
            await asyncio.sleep(0.01)
            await relay.restore()
        assert await reading == MANY.upper()


async def test_a_reset_breaks_every_connection_on_both_sides_and_new_ones_are_accepted():
    async with behind_a_relay() as (server, relay):
        async with connected(relay) as one, connected(relay) as other:
            assert await echoed(one, b"1") == b"1"
            assert await echoed(other, b"2") == b"2"
            await relay.reset()
            for reader, _ in (one, other):
                with pytest.raises(ConnectionResetError):
                    await reader.read(1)
        await server.until(lambda: len(server.errors) == 2)
        async with connected(relay) as client:
            assert await echoed(client, b"again") == b"AGAIN"
        assert await relay.connections() == 3


async def test_while_answers_are_lost_requests_arrive():
    async with behind_a_relay() as (server, relay), connected(relay) as client:
        assert await echoed(client, b"a") == b"A"
        await relay.lose_answers()
        client[1].write(b"b")
        await server.got(b"ab")
        await nothing_comes(client[0])
        async with connected(relay) as another:
            another[1].write(b"c")
            await server.got(b"abc")
            await nothing_comes(another[0])


async def test_a_connection_that_lost_an_answer_is_never_continued():
    async with (
        behind_a_relay() as (server, relay),
        connected(relay) as torn,
        connected(relay) as whole,
    ):
        assert await echoed(torn, b"a") == b"A"
        assert await echoed(whole, b"b") == b"B"
        await relay.lose_answers()
        torn[1].write(b"c")
        await server.got(b"abc")
        await asyncio.sleep(A_WHILE_S)
        await relay.restore()
        with pytest.raises(ConnectionResetError):
            await torn[0].read(1)
        assert await echoed(whole, b"d") == b"D"


async def test_some_more_answers_may_pass_before_the_rest_is_lost():
    async with behind_a_relay() as (server, relay), connected(relay) as client:
        await relay.lose_answers(after=2)
        assert await echoed(client, b"a") == b"A"
        assert await echoed(client, b"b") == b"B"
        client[1].write(b"c")
        await server.got(b"abc")
        await nothing_comes(client[0])


async def test_while_answers_are_lost_a_client_does_not_hear_that_the_server_has_gone():
    async with behind_a_relay() as (server, relay), connected(relay) as client:
        assert await echoed(client, b"a") == b"A"
        await relay.lose_answers()
        server.writers[0].transport.abort()
        await nothing_comes(client[0])
        await relay.restore()
        with pytest.raises(ConnectionResetError):
            await client[0].read(1)


@pytest.mark.parametrize("rtt_ms", [0.0, 10.0])
async def test_a_slow_network_adds_to_the_path_until_it_is_restored(rtt_ms):
    async with behind_a_relay(rtt_ms) as (_, relay), connected(relay) as client:
        await relay.slow(50)
        began = time.monotonic()
        for _ in range(4):
            await echoed(client, b"x")
        assert (time.monotonic() - began) * 1000 >= 4 * (50 + rtt_ms)
        await relay.restore()
        took_ms = []
        for _ in range(20):
            began = time.monotonic()
            await echoed(client, b"x")
            took_ms.append((time.monotonic() - began) * 1000)
        assert rtt_ms <= min(took_ms) < 50


async def test_what_is_sent_as_a_slow_network_recovers_does_not_overtake():
    async with behind_a_relay() as (_, relay), connected(relay) as (reader, writer):
        await relay.slow(200)
        writer.write(b"first")
        await asyncio.sleep(0.02)
        await relay.restore()
        writer.write(b"second")
        assert await reader.readexactly(11) == b"FIRSTSECOND"


async def test_answers_under_way_in_a_slow_network_are_lost_with_the_others():
    async with behind_a_relay() as (server, relay), connected(relay) as (reader, writer):
        assert await echoed((reader, writer), b"a") == b"A"
        await relay.slow(60_000)
        server.writers[0].write(b"push")
        await asyncio.sleep(A_WHILE_S)
        await relay.lose_answers()
        await relay.restore()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)


async def test_the_path_can_be_made_longer_for_good():
    async with behind_a_relay() as (_, relay), connected(relay) as client:
        await relay.lengthen(30)
        await relay.restore()
        began = time.monotonic()
        await echoed(client, b"x")
        assert (time.monotonic() - began) * 1000 >= 30


async def test_clients_keep_their_address_when_the_servers_changes():
    async with behind_a_relay() as (first, relay):
        async with connected(relay) as client:
            assert await echoed(client, b"a") == b"A"
        async with serving() as (second, moved):
            await relay.target(moved)
            async with connected(relay) as client:
                assert await echoed(client, b"b") == b"B"
        assert (first.received, second.received) == (b"a", b"b")


@pytest.mark.parametrize("order", [1, -1])
async def test_of_several_addresses_of_a_host_the_one_that_accepts_is_taken(monkeypatch, order):
    async with serving() as (_, endpoint):
        ((_, port),) = LINE.parse(endpoint.address).hosts
        places = [("127.0.0.1", port), ("127.0.0.9", port)][::order]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in places]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert relay_process.place("db", port) == (socket.AF_INET, ("127.0.0.1", port))


async def test_a_relay_that_has_ended_says_so():
    async with behind_a_relay() as (_, relay):
        pass
    with pytest.raises(LabError, match="the relay did not answer 'cut'"):
        await relay.cut()
