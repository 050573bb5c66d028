"""What only PostgreSQL's designs promise or break, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from harness.errors import AppendRefused, StoreUnavailable
from harness.servers import Server
from harness.store import AppendResult, Durability, StreamState
from harness.stores.postgres import STORE
from harness.stores.postgres.durability import durability_of
from harness.stores.postgres.hints import hints

from .contract.support import append, event, events, following, ids, read_log
from .subject import Subject, fresh, opened

RAW_APPEND = "SELECT outcome FROM append($1, -1, $2, $3, $4, $5)"


@asynccontextmanager
async def subject_of(
    server: Server, variant: str = "", **options: object
) -> AsyncIterator[Subject]:
    adapter, chosen = STORE.variants[variant], STORE.options(**options)
    async with opened(adapter, chosen, fresh(server.endpoint), server) as subject:
        yield subject


@asynccontextmanager
async def plain_connection(subject: Subject) -> AsyncIterator[asyncpg.Connection]:
    """A connection that knows nothing of the adapter, in the subject's schema."""
    connection = await asyncpg.connect(
        subject.endpoint.address, server_settings={"search_path": subject.endpoint.namespace}
    )
    try:
        yield connection
    finally:
        await connection.close()


async def append_plainly(connection: asyncpg.Connection, stream: str) -> str:
    one = event()
    columns = ([one.id], [one.type], [one.data], [one.metadata])
    return await connection.fetchval(RAW_APPEND, stream, *columns)


async def test_an_append_inside_a_transaction_that_has_written_is_refused(postgres_server: Server):
    async with subject_of(postgres_server) as subject, plain_connection(subject) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("INSERT INTO checkpoints VALUES ('a', '1')")
        with pytest.raises(asyncpg.InvalidTransactionStateError):
            await append_plainly(connection, "order-1")
        await transaction.rollback()
        assert await read_log(subject.store) == []


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_an_append_under_another_isolation_level_is_refused(
    postgres_server: Server, isolation: str
):
    async with subject_of(postgres_server) as subject, plain_connection(subject) as connection:
        with pytest.raises(asyncpg.InvalidTransactionStateError):
            async with connection.transaction(isolation=isolation):
                await append_plainly(connection, "order-1")


async def test_a_late_commit_delays_the_default_designs_reader_and_is_never_skipped(
    postgres_server: Server,
):
    async with subject_of(postgres_server) as subject, plain_connection(subject) as connection:
        async with following(subject.store) as follower:
            transaction = connection.transaction()
            await transaction.start()
            await append_plainly(connection, "order-late")
            await append(subject.store, "order-early")
            await asyncio.sleep(0.2)
            assert follower.events == []
            await transaction.commit()
            await follower.until(2)
        assert [one.stream for one in follower.events] == ["order-late", "order-early"]


async def test_a_late_commit_is_skipped_by_a_reader_of_positions(postgres_server: Server):
    async with subject_of(postgres_server, "row") as subject:
        async with plain_connection(subject) as connection, following(subject.store) as follower:
            transaction = connection.transaction()
            await transaction.start()
            await append_plainly(connection, "order-late")
            await append(subject.store, "order-early")
            await follower.until(1)
            await transaction.commit()
            await append(subject.store, "order-next")
            await follower.until(2)
        seen = [one.stream for one in follower.events]
        assert seen == ["order-early", "order-next"]
        assert len(await read_log(subject.store)) == 3


async def test_a_read_of_the_log_waits_for_what_is_held_back(postgres_server: Server):
    async with subject_of(postgres_server) as subject, plain_connection(subject) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await append_plainly(connection, "order-late")
        acknowledged = [event()]
        await append(subject.store, "order-early", acknowledged)
        reading = asyncio.create_task(read_log(subject.store))
        await asyncio.sleep(0.1)
        assert not reading.done()
        await transaction.rollback()
        assert ids(await reading) == ids(acknowledged)


async def test_the_template_lets_more_than_one_of_many_expecting_the_same_version_win(
    postgres_server: Server,
):
    async with subject_of(postgres_server, "template") as subject:
        for number in range(20):
            stream = f"order-{number}"
            await append(subject.store, stream)
            racing = [append(subject.store, stream, expected=0) for _ in range(16)]
            ended = await asyncio.gather(*racing, return_exceptions=True)
            if sum(isinstance(end, AppendResult) for end in ended) > 1:
                return
        pytest.fail("in 20 races the template was right each time")


async def test_concurrent_callers_of_the_coalesced_design_share_transactions(
    postgres_server: Server,
):
    async with subject_of(postgres_server, "coalesced") as subject:
        await asyncio.gather(*(append(subject.store, f"order-{n % 5}") for n in range(64)))
        async with plain_connection(subject) as connection:
            assert await connection.fetchval("SELECT count(DISTINCT tx) FROM events") <= 2
        assert len(await read_log(subject.store)) == 64


async def test_one_members_bad_data_does_not_spoil_its_group(postgres_server: Server):
    async with subject_of(postgres_server, "coalesced") as subject:
        names = ["order-1", "nul\x00l", "order-2"]
        ended = await asyncio.gather(
            *(append(subject.store, name) for name in names), return_exceptions=True
        )
        assert [type(end) for end in ended] == [AppendResult, AppendRefused, AppendResult]


async def test_an_append_that_waited_for_a_closed_store_was_not_sent(postgres_server: Server):
    async with subject_of(postgres_server, "coalesced") as subject:
        store = await subject.connect()
        waiting = asyncio.create_task(append(store, "order-1"))
        await asyncio.sleep(0)
        await store.aclose()
        with pytest.raises(StoreUnavailable):
            await waiting


async def test_an_append_notifies_where_that_was_asked_for(postgres_server: Server):
    async with (
        subject_of(postgres_server, notify=True) as subject,
        hints(subject.store._session) as hinted,
    ):
        await append(subject.store, "order-1")
        await asyncio.wait_for(hinted.wait(), 5)


async def test_more_callers_than_connections_wait_their_turn(postgres_server: Server):
    async with subject_of(postgres_server, connections=2) as subject:
        await asyncio.gather(*(append(subject.store, f"order-{n}", events(2)) for n in range(40)))
        assert len(await read_log(subject.store)) == 80
        async with plain_connection(subject) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'eslab'"
            assert await connection.fetchval(query) == 2


async def test_a_cancelled_append_gives_its_connection_up(postgres_server: Server):
    async with subject_of(postgres_server, connections=1) as subject:
        for _ in range(5):
            cancelled = asyncio.create_task(append(subject.store, "order-1"))
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.gather(cancelled, return_exceptions=True)
        await asyncio.wait_for(append(subject.store, "order-2", expected=StreamState.ANY), 5)


CLASSES = {
    Durability.POWER_LOSS: {},
    Durability.BOUNDED_LOSS: {"synchronous_commit": "off", "fsync": "off"},
    Durability.PROCESS_CRASH: {"fsync": "off"},
    Durability.MEMORY: {"events_table": "unlogged"},
}


@pytest.mark.parametrize(("durability", "changed"), CLASSES.items(), ids=str)
def test_the_durability_class_follows_from_the_settings(durability: Durability, changed: dict):
    settings = {"synchronous_commit": "on", "fsync": "on", "full_page_writes": "on"}
    assert durability_of(settings | changed) == durability
