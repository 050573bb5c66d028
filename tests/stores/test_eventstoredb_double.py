"""What is particular to EventStoreDB's adapter, on the double: retries, deadlines, cut calls."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from harness.domain.durability import Durability
from harness.domain.errors import (
    EventIdReused,
    OutcomeUnknown,
    ReadFailed,
    ReadTimeout,
    StoreUnavailable,
    StreamNotFound,
)
from harness.domain.store import Endpoint, Position, StreamState
from harness.stores.eventstoredb.declaration import durability_of, read_back

from .contract.support import append, event, events, following, ids, read, read_log
from .subject import fresh, opened

esdb = pytest.importorskip("harness.stores.eventstoredb")
if not any(map(__import__("importlib.util").util.find_spec, ("esdbclient", "kurrentdbclient"))):
    pytest.skip("pip install 'eventstore-lab[eventstoredb]'", allow_module_level=True)


@pytest.fixture
def server(double):
    """Started before the test is on the loop."""
    return double()


def store(server, variant="", **options):
    kind = esdb.STORE
    chosen = kind.options(**options)
    return opened(kind.variants[variant], chosen, fresh(server.endpoint), server)


async def test_a_reader_that_is_out_of_time_says_so_and_is_not_cut_short_in_silence(server):
    async with store(server) as subject:
        await append(subject.store, "order-1", events(3))
        impatient = await subject.connect(deadline_s=2.0)
        await read(impatient, "order-1")
        await server.pause()
        try:
            with pytest.raises(ReadTimeout):
                await read(impatient, "order-1")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await read(subject.store, "order-1")
        finally:
            await server.resume()


@pytest.mark.parametrize("variant", ["", "plain", "template"])
async def test_a_call_that_is_cut_is_unknown_and_the_next_one_finds_the_server(server, variant):
    async with store(server, variant) as subject:
        await append(subject.store, "order-1")
        await server.pause()
        appending = asyncio.create_task(append(subject.store, "order-1"))
        await asyncio.sleep(0.2)
        await server.kill()
        try:
            with pytest.raises(OutcomeUnknown):
                await appending
            with pytest.raises((StoreUnavailable, OutcomeUnknown)):
                await append(subject.store, "order-1")
        finally:
            await server.restart()
        async with asyncio.timeout(10):
            while True:
                try:
                    await append(subject.store, "order-2")
                    break
                except (StoreUnavailable, OutcomeUnknown):
                    await asyncio.sleep(0.05)


async def test_the_version_is_told_whatever_was_expected(server):
    async with store(server) as subject:
        for number, expected in enumerate((StreamState.ANY, StreamState.EXISTS, 1)):
            assert (await append(subject.store, "order-1", expected=expected)).version == number


async def test_the_template_writes_a_retry_again(server):
    async with store(server, "template") as subject:
        batch = events(2)
        for _ in range(2):
            await append(subject.store, "order-1", batch)
        assert ids(await read(subject.store, "order-1")) == ids(batch) * 2


async def test_the_template_reads_a_link_of_a_category_as_an_event_and_fails(server):
    async with store(server, "template") as subject:
        await append(subject.store, "invoice-1")
        with pytest.raises(ReadFailed, match="the link '0@"):
            async with asyncio.timeout(10):
                await anext(subject.store.subscribe(category="invoice"))
        async with following(subject.store) as follower:
            assert len(await follower.until(1)) == 1


async def test_an_append_of_which_a_part_is_known_is_no_conflict_of_versions(server):
    async with store(server) as subject:
        known = event()
        await append(subject.store, "order-1", [known])
        with pytest.raises(EventIdReused):
            await append(subject.store, "order-1", [known, event()])


async def test_a_torn_down_namespace_leaves_no_stream(server):
    async with store(server) as subject:
        await append(subject.store, "order-1", events(2))
        await subject.store.teardown()
        with pytest.raises(StreamNotFound):
            [_ async for _ in subject.store.read_stream("order-1")]
        assert await read_log(subject.store) == []


@pytest.mark.parametrize("categories", ["filter", "links"])
async def test_a_category_is_followed_by_a_filter_or_by_links(server, categories):
    async with store(server, categories=categories) as subject:
        mine = events(2)
        await append(subject.store, "invoice-1", mine[:1])
        await append(subject.store, "invoices-1")
        await append(subject.store, "invoice-2", mine[1:])
        async with following(subject.store, category="invoice") as follower:
            assert ids(await follower.until(2)) == ids(mine)


async def test_new_events_only_are_new_also_after_a_cut(server):
    async with store(server) as subject:
        await append(subject.store, "order-1")
        async with following(subject.store, after=Position.NOW) as follower:
            await asyncio.sleep(0.3)
            await server.restart()
            later = event()
            async with asyncio.timeout(10):
                while True:
                    try:
                        await append(subject.store, "order-1", [later])
                        break
                    except (StoreUnavailable, OutcomeUnknown):
                        await asyncio.sleep(0.05)
            assert ids(await follower.until(1)) == [later.id]


async def test_an_address_where_nobody_listens_is_unavailable(server):
    endpoint = replace(server.endpoint, address="esdb://127.0.0.1:1?tls=false")
    with pytest.raises(StoreUnavailable, match="no connection to EventStoreDB"):
        await esdb.STORE.variants[""].connect(endpoint, esdb.STORE.options(deadline_s=1.0))


@pytest.mark.parametrize(
    ("mem_db", "unflushed", "durability"),
    [
        ("false", "false", Durability.POWER_LOSS),
        ("false", "true", Durability.PROCESS_CRASH),
        ("true", "false", Durability.MEMORY),
        ("False", "True", Durability.PROCESS_CRASH),
        ("FALSE", "FALSE", Durability.POWER_LOSS),
        ("TRUE", "unknown", Durability.MEMORY),
        ("unknown", "true", Durability.UNKNOWN),
        ("false", "unknown", Durability.UNKNOWN),
        ("unknown", "unknown", Durability.UNKNOWN),
        ("", "perhaps", Durability.UNKNOWN),
    ],
)
def test_the_durability_class_follows_what_the_server_reports(mem_db, unflushed, durability):
    settings = {"mem_db": mem_db, "unsafe_disable_flush_to_disk": unflushed}
    assert esdb.STORE.variants[""].durability_of(settings) is durability


@pytest.mark.parametrize(
    ("status", "options", "durability"),
    [
        (200, [("MemDb", "False"), ("UnsafeDisableFlushToDisk", "TRUE")], Durability.PROCESS_CRASH),
        (200, [("MemDb", "False")], Durability.UNKNOWN),
        (401, [], Durability.UNKNOWN),
    ],
)
async def test_options_that_cannot_be_read_are_unknown(status, options, durability):
    """A secured server answers 401 for its options without credentials."""

    async def answer(reader, writer):
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        listed = [{"name": name, "value": value} for name, value in options]
        body = json.dumps({"esVersion": "26.1.0"} if path == b"/info" else listed).encode()
        code = 200 if path == b"/info" else status
        writer.write(b"HTTP/1.0 %d Made\r\nContent-Length: %d\r\n\r\n%b" % (code, len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        settings = await read_back(Endpoint(f"esdb://127.0.0.1:{port}?tls=false"))
    assert settings["version"] == "26.1.0"
    assert durability_of(settings) is durability
