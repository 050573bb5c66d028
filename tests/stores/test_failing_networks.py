"""Real stores over a network that fails: what is told is true, and service comes back by itself.

EventStoreDB is the double, which speaks gRPC over real sockets.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from harness.domain.errors import NotWritten, OutcomeUnknown, StoreError, StreamNotFound
from harness.domain.store import AppendResult, StreamState
from harness.run.session import Paths
from harness.servers import TECHNOLOGIES, Server
from harness.servers.path.relaying import relayed, why_no_relay
from harness.stores import kinds

from .contract.support import events
from .subject import fresh, opened

ANY = StreamState.ANY
DEADLINE_S = 1.0
FAULT_S = 1.5
"""Longer than the deadline."""
AGAIN_WITHIN_S = 30.0
CLIENTS = 4
NETWORKED = ("postgres", "dynamodb", "umadb", "kafka", "eventstoredb")
SEND_AT_ONCE = ("postgres", "umadb", "kafka", "eventstoredb")
"""DynamoDB's append begins with a read: without its answer nothing is sent."""


@pytest.fixture(params=NETWORKED)
def server(request, servers, double) -> Server:
    """Started before the test is on the loop."""
    if request.param == "eventstoredb":
        pytest.importorskip("esdbclient")
        return double()
    started = servers(request.param)
    line = TECHNOLOGIES[request.param].line
    if reason := why_no_relay(line, started.endpoint):
        pytest.skip(f"not reached: {request.param}: {reason}")
    return started


@pytest.fixture
def surviving(servers) -> Server:
    """A PostgreSQL that the test may kill."""
    server = servers("postgres", surviving=True)
    if not server.controllable:
        pytest.skip("an external server is not the suite's to kill")
    return server


@asynccontextmanager
async def over_a_relay(server, variant=""):
    """A store over a relay, another past it, and the relay."""
    technology = server.technology
    kind, line = kinds()[technology], TECHNOLOGIES[technology].line
    options = kind.options(deadline_s=DEADLINE_S)
    endpoint = fresh(server.endpoint)
    async with (
        opened(kind.variants[variant], kind.options(), endpoint, server) as sound,
        relayed(technology, line, endpoint) as relay,
    ):
        store = await kind.variants[variant].connect(relay.endpoint, options)
        try:
            yield store, sound.store, relay
        finally:
            await store.aclose()


async def answer(store, stream, batch):
    try:
        return await store.append(stream, batch, expected=ANY)
    except StoreError as error:
        return error


async def acknowledged(store, stream):
    """Append until one is acknowledged; all batches and their answers."""
    made, until_s = [], time.monotonic() + AGAIN_WITHIN_S
    while time.monotonic() < until_s:
        batch = events(1)
        made.append((batch, await answer(store, stream, batch)))
        if isinstance(made[-1][1], AppendResult):
            return made
        await asyncio.sleep(0.02)
    pytest.fail(f"never served again: {made[-1][1]!r}")


async def appending(store, stream, over):
    made = []
    while not over.is_set():
        batch = events(1)
        made.append((batch, await answer(store, stream, batch)))
    return made


async def read_ids(store, stream):
    try:
        return [event.id async for event in store.read_stream(stream)]
    except StreamNotFound:
        return []


@pytest.mark.parametrize("fault", ["cut", "reset", "lose_answers"])
async def test_after_a_fault_a_store_is_served_again_and_what_it_was_told_is_true(server, fault):
    async with over_a_relay(server) as (store, sound, relay):
        streams = [f"order-{number}" for number in range(CLIENTS)]
        for stream in streams:
            await acknowledged(store, stream)
        over = asyncio.Event()
        clients = [asyncio.create_task(appending(store, stream, over)) for stream in streams]
        await asyncio.sleep(0.1)
        await getattr(relay, fault)()
        await asyncio.sleep(FAULT_S if fault != "reset" else 0)
        await relay.restore()
        over.set()
        made = [each for client in await asyncio.gather(*clients) for each in client]
        for stream in streams:
            made += await acknowledged(store, stream)
        there = [each for stream in streams for each in await read_ids(sound, stream)]
    assert len(there) == len(set(there)), "written twice"
    for batch, told in made:
        if isinstance(told, AppendResult):
            assert batch[0].id in there, "acknowledged and lost"
        elif isinstance(told, NotWritten):
            assert batch[0].id not in there, f"written though {told!r}"
        else:
            assert isinstance(told, OutcomeUnknown), repr(told)


async def test_while_the_network_is_cut_nothing_is_written(server):
    async with over_a_relay(server) as (store, sound, relay):
        await acknowledged(store, "order-1")
        await relay.cut()
        assert not isinstance(await answer(store, "order-2", events(1)), AppendResult)
        assert await read_ids(sound, "order-2") == []


@pytest.mark.parametrize("server", SEND_AT_ONCE, indirect=True)
async def test_an_append_whose_answer_is_lost_is_written(server):
    async with over_a_relay(server) as (store, sound, relay):
        await acknowledged(store, "order-1")
        await relay.lose_answers()
        batch = events(1)
        assert isinstance(await answer(store, "order-1", batch), OutcomeUnknown)
        assert batch[0].id in await read_ids(sound, "order-1")


async def test_a_slow_network_delays_each_append(server):
    async with over_a_relay(server) as (store, _, relay):
        await acknowledged(store, "order-1")
        await relay.slow(60)
        began = time.monotonic()
        await answer(store, "order-1", events(1))
        assert (time.monotonic() - began) * 1000 >= 60


async def test_clients_keep_their_address_while_the_server_is_killed_and_started(surviving):
    async with over_a_relay(surviving) as (store, _, relay):
        await acknowledged(store, "order-1")
        await surviving.kill()
        assert not isinstance(await answer(store, "order-1", events(1)), AppendResult)
        await surviving.restart()
        await relay.target(surviving.endpoint)
        await acknowledged(store, "order-1")


async def test_a_run_reaches_a_server_over_one_relay_however_long_its_paths_are(server):
    async with AsyncExitStack() as stack:
        paths = Paths(stack)
        longer, longest = [await paths.to(server, rtt_ms) for rtt_ms in (5.0, 30.0)]
        assert longer.address == longest.address != server.endpoint.address
        assert (await paths.to(server, 0.0)).address == server.endpoint.address
        kind = kinds()[server.technology]
        options = kind.options()
        endpoint = fresh(longest)
        async with opened(kind.variants[""], options, endpoint, server) as subject:
            await acknowledged(subject.store, "order-1")
            began = time.monotonic()
            await answer(subject.store, "order-1", events(1))
            assert (time.monotonic() - began) * 1000 >= 30


@pytest.mark.parametrize("server", ["kafka"], indirect=True)
async def test_a_transaction_that_a_network_breaks_leaves_nothing_for_asyncio_to_complain_of(
    server,
):
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    try:
        async with over_a_relay(server, variant="single-writer") as (store, _, relay):
            await acknowledged(store, "order-1")
            for _ in range(3):
                over = asyncio.Event()
                client = asyncio.create_task(appending(store, "order-1", over))
                await asyncio.sleep(0.1)
                await relay.cut()
                await asyncio.sleep(FAULT_S)
                await relay.reset()
                await relay.restore()
                over.set()
                await client
                await acknowledged(store, "order-1")
        gc.collect()
    finally:
        asyncio.get_running_loop().set_exception_handler(None)
    assert complaints == []
