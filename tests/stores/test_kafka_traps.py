"""Kafka's traps, sprung on the real server: placement, fencing, late writes, a broker's death."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from itertools import chain
from unittest import mock
from uuid import uuid4

import pytest

from harness.domain.durability import Durability
from harness.domain.errors import (
    AppendRefused,
    EventTooLarge,
    OutcomeUnknown,
    StoreError,
    StoreUnavailable,
    Unsuitable,
    UnsupportedByStore,
)
from harness.domain.store import Adapter, Endpoint, NewEvent, StreamState
from harness.servers import Server
from harness.stores import kinds
from harness.stores.kafka.clients import Administrator
from harness.stores.kafka.messages import partition_of

pytest.importorskip("aiokafka")

ANY = StreamState.ANY
BACK_WITHIN_S = 20.0


def event(data: bytes = b"{}") -> NewEvent:
    return NewEvent(uuid4(), "OrderPlaced", data)


def ids(events):
    return [one.id for one in events]


async def log(store: Adapter):
    return [one async for one in store.read_all()]


@pytest.fixture
def broker(servers: Callable[[str], Server]) -> Server:
    return servers("kafka")


@asynccontextmanager
async def topic(broker: Server, variant: str = "", **options) -> AsyncIterator[Callable]:
    """A fresh topic, and a function that connects to it: variant and options may differ."""
    endpoint = replace(broker.endpoint, namespace=f"eslab_{uuid4().hex[:16]}")
    async with AsyncExitStack() as connections:

        async def connect(variant: str = variant, **changed) -> Adapter:
            kind = kinds()["kafka"]
            chosen = kind.options(**{**options, **changed})
            store = await kind.variants[variant].connect(endpoint, chosen)
            connections.push_async_callback(store.aclose)
            return store

        maker = await connect()
        await maker.setup()
        connections.push_async_callback(maker.teardown)
        yield connect


async def test_a_topic_without_the_settings_that_it_was_asked_to_have_is_refused_and_removed(
    broker: Server, monkeypatch: pytest.MonkeyPatch
):
    create = Administrator.create
    # As a service does that ignores what it does not offer.
    monkeypatch.setattr(Administrator, "create", lambda self, _: create(self, {}))
    kind = kinds()["kafka"]
    endpoint = replace(broker.endpoint, namespace=f"eslab_{uuid4().hex[:16]}")
    store = await kind.variants[""].connect(endpoint, kind.options(flush="each"))
    try:
        with pytest.raises(Unsuitable, match=r"retention.ms = '-1' is '604800000'.*flush.messages"):
            await store.setup()
        assert not await store._connection.administrator.exists()
    finally:
        await store.aclose()


async def until_back(store: Adapter, stream: str = "back-1") -> None:
    """Retry one append until the broker takes it."""
    async with asyncio.timeout(BACK_WITHIN_S):
        while True:
            try:
                await store.append(stream, [event()], expected=ANY)
            except StoreError:
                await asyncio.sleep(0.1)
            else:
                return


async def test_a_stream_is_on_the_partition_where_readers_look(broker: Server):
    streams = [f"order-{number}" for number in range(40)] + ["x", "заказ-1", "ab", "abc"]
    async with topic(broker, partitions=7) as connect:
        writers = [await connect(), await connect()]
        for stream in streams:
            for writer in writers:
                await writer.append(stream, [event()], expected=ANY)
        for reader in writers:
            for stream in streams:
                found = [one async for one in reader.read_stream(stream)]
                assert [one.version for one in found] == [0, 1], stream
        partitions = {partition_of(stream.encode(), 7) for stream in streams}
    assert len(partitions) == 7


async def test_appends_that_share_batches_come_back_whole_and_in_their_order(broker: Server):
    """Some are larger than a batch; the first ones arrive while the driver has taken a batch."""
    async with topic(broker, partitions=1) as connect:
        store = await connect()
        sent = {f"small-{n}": [[event()] for _ in range(30)] for n in range(50)}
        sent |= {f"large-{n}": [[event(b"x" * 60_000) for _ in range(12)]] for n in range(8)}

        async def append_all(stream: str) -> None:
            for batch in sent[stream]:
                await store.append(stream, batch, expected=ANY)

        await asyncio.gather(*map(append_all, sent))
        found = await log(store)
        for stream, batches in sent.items():
            assert ids(one for one in found if one.stream == stream) == ids(chain(*batches))
        assert len(found) == 8 * 12 + 50 * 30


async def test_an_expected_version_is_unsupported_not_ignored(broker: Server):
    async with topic(broker) as connect:
        store = await connect()
        for expected in (0, StreamState.NO_STREAM, StreamState.EXISTS):
            with pytest.raises(UnsupportedByStore):
                await store.append("order-1", [event()], expected=expected)
        assert await log(store) == []


async def test_two_owners_fence_each_other_and_the_losers_write_is_never_seen(broker: Server):
    async with topic(broker, "single-writer") as connect:
        old, new = await connect(), await connect()
        kept = event()
        await old.append("order-1", [kept], expected=StreamState.NO_STREAM)
        taken = event()
        result = await new.append("order-1", [taken], expected=0)
        assert result.version == 1
        lost = event()
        for expected in (0, ANY):  # as the loser remembers the stream
            with pytest.raises((AppendRefused, OutcomeUnknown)):
                await old.append("order-1", [lost], expected=expected)
        await new.append("order-1", [event()], expected=1)
        for reader in (old, new, await connect()):
            found = await log(reader)
            assert ids(found[:2]) == [kept.id, taken.id]
            assert [one.version for one in found] == [0, 1, 2]
            assert lost.id not in ids(found)


async def test_a_fenced_owner_may_connect_again_and_take_over(broker: Server):
    async with topic(broker, "single-writer") as connect:
        for turn in range(3):
            owner = await connect()
            result = await owner.append("order-1", [event()], expected=ANY)
            assert result.version == turn


async def test_what_an_idempotent_producer_was_given_is_unknown_at_the_deadline_and_shows_later(
    broker: Server,
):
    """It is written when the broker comes back."""
    async with topic(broker) as connect:
        store, reader = await connect(deadline_s=0.7), await connect()
        await until_back(store, "order-1")
        late = event()
        await broker.pause()
        try:
            with pytest.raises(OutcomeUnknown):
                await store.append("order-1", [late], expected=ANY)
        finally:
            await broker.resume()
        await until_back(store, "order-1")
        copies = ids(await log(reader)).count(late.id)
        assert copies == 1


async def test_a_driver_that_has_given_up_sending_is_replaced_without_a_word(broker: Server):
    said: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, what: said.append(what))
    try:
        await _a_driver_is_replaced(broker)
        gc.collect()
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(before)
    assert said == []


async def _a_driver_is_replaced(broker: Server) -> None:
    async with topic(broker) as connect:
        store = await connect()
        await store.append("order-1", [event()], expected=ANY)
        sender = store._producer._producer._sender
        with mock.patch.object(sender._message_accumulator, "drain_by_nodes", side_effect=OSError):
            with pytest.raises(OutcomeUnknown, match="batch delivery"):
                await store.append("order-1", [event()], expected=ANY)
            assert sender.sender_task.done()
        later = event()
        await store.append("order-1", [later], expected=ANY)
        assert ids(await log(store))[-1] == later.id


async def test_a_refused_port_is_unavailable_in_little_time(broker: Server):
    kind = kinds()["kafka"]
    nobody = Endpoint("127.0.0.1:9")
    async with asyncio.timeout(5):
        with pytest.raises(StoreUnavailable):
            await kind.variants[""].connect(nobody, kind.options())


async def test_an_event_over_the_limit_is_told_before_anything_is_sent(broker: Server):
    async with topic(broker) as connect:
        store = await connect()
        with pytest.raises(EventTooLarge):
            await store.append("order-1", [event(), event(b"x" * 1_000_001)], expected=ANY)
        await store.append("order-1", [event(b"x" * 990_000)], expected=ANY)
        assert len(await log(store)) == 1


async def test_a_stopped_subscriber_leaves_the_broker_to_others(broker: Server):
    async with topic(broker) as connect:
        store = await connect()
        following = asyncio.ensure_future(anext(aiter(store.subscribe())))
        await asyncio.sleep(0.2)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await store.append("order-1", [event()], expected=ANY)
        assert len(await log(store)) == 1


@pytest.mark.parametrize(
    ("variant", "flush", "durability"),
    [
        ("", "page-cache", Durability.PROCESS_CRASH),
        ("", "each", Durability.POWER_LOSS),
        ("single-writer", "page-cache", Durability.PROCESS_CRASH),
        # The state of transactions, which decides, is not synced.
        ("single-writer", "each", Durability.PROCESS_CRASH),
    ],
)
async def test_durability_follows_the_settings_that_the_broker_applies(
    broker: Server, variant: str, flush: str, durability: Durability
):
    async with topic(broker, variant, flush=flush) as connect:
        store = await connect()
        settings = await store.settings()
        assert settings["retention.ms"] == "-1"
        assert settings["cleanup.policy"] == "delete"
        assert (settings.get("flush.messages") == "1") is (flush == "each")
        assert type(store).durability_of(settings) is durability
        options = store._connection.target.options
        assert type(store).declares(options).durability is durability


async def test_an_open_transaction_of_a_dead_owner_holds_readers_no_longer_than_declared(
    broker: Server,
):
    """A reader waits for what was written before it began to be committed or aborted."""
    aiokafka = pytest.importorskip("aiokafka")
    async with topic(broker, "single-writer") as connect:
        store = await connect()
        await store.append("order-1", [event()], expected=ANY)
        name = store._connection.target.topic
        producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=broker.endpoint.address,
            transactional_id=f"{name}-stranger",
            transaction_timeout_ms=2000,
        )
        await producer.start()
        await producer.begin_transaction()
        message = [("id", uuid4().bytes), ("type", b"T"), ("version", (1).to_bytes(8))]
        await producer.send_and_wait(name, b"{}", b"order-1", partition=0, headers=message)
        reading = asyncio.create_task(log(store))
        await asyncio.sleep(0.5)
        assert not reading.done()
        await producer.abort_transaction()
        assert [one.version for one in await reading] == [0]
        await producer.stop()
