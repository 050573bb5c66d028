"""What only PostgreSQL's designs promise or break, on a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from harness.domain.durability import Durability
from harness.domain.errors import (
    AppendRefused,
    ReadFailed,
    StoreUnavailable,
    TamperingPrevented,
    UnsupportedByStore,
)
from harness.domain.store import AppendResult, Snapshot, StreamState
from harness.servers import Server, serving
from harness.stores.postgres import STORE
from harness.stores.postgres.log import hints

from .contract.support import append, event, events, following, ids, read, read_log, versions
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


async def test_what_a_publication_prevents_is_not_the_stores_refusal(postgres_server: Server):
    async with subject_of(postgres_server) as subject, plain_connection(subject) as connection:
        await append(subject.store, "order-1")
        assert not await subject.store.overwrite("order-1", 0, b"{}")
        assert not await subject.store.delete("order-1", 0)
        name = f"all_of_{subject.endpoint.namespace}"
        await connection.execute(f'CREATE PUBLICATION "{name}" FOR TABLE events')
        try:
            with pytest.raises(TamperingPrevented, match="replica identity"):
                await subject.store.overwrite("order-1", 0, b"{}")
            with pytest.raises(TamperingPrevented, match="replica identity"):
                await subject.store.delete("order-1", 0)
        finally:
            await connection.execute(f'DROP PUBLICATION "{name}"')


async def test_a_change_of_no_event_is_no_refusal(postgres_server: Server):
    async with subject_of(postgres_server) as subject:
        await append(subject.store, "order-1")
        with pytest.raises(TamperingPrevented, match="no such event"):
            await subject.store.overwrite("order-1", 7, b"{}")


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
        for number in range(200):
            stream = f"order-{number}"
            await append(subject.store, stream)
            racing = [append(subject.store, stream, expected=0) for _ in range(16)]
            ended = await asyncio.gather(*racing, return_exceptions=True)
            if sum(isinstance(end, AppendResult) for end in ended) > 1:
                return
        pytest.fail("in 200 races the template was right each time")


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time that is one hour or two before UTC's."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def test_the_templates_times_are_wrong_by_the_clients_offset(
    postgres_server: Server, berlin: None
):
    async with subject_of(postgres_server, "template") as subject:
        await append(subject.store, "order-1")
        (recorded,) = await read(subject.store, "order-1")
    late = datetime.now(UTC) - recorded.recorded_at
    assert (
        round(late / timedelta(hours=1)) == datetime.now().astimezone().utcoffset().seconds / 3600
    )


async def test_the_template_reads_a_thousand_events_of_a_stream_unless_told(
    postgres_server: Server,
):
    async with subject_of(postgres_server, "template") as subject:
        await append(subject.store, "order-1", events(1001))
        assert versions(await read(subject.store, "order-1")) == list(range(1000))
        newest_first = await read(subject.store, "order-1", backwards=True)
        assert versions(newest_first) == list(range(1000, 0, -1))
        assert len(await read(subject.store, "order-1", limit=1001)) == 1001
        assert len(await read_log(subject.store)) == 1001


async def test_the_template_takes_names_of_at_most_255_characters(postgres_server: Server):
    async with subject_of(postgres_server, "template") as subject:
        await append(subject.store, "é" * 255, [event(type="t" * 255)])
        with pytest.raises(AppendRefused):
            await append(subject.store, "é" * 256)
        with pytest.raises(AppendRefused):
            await append(subject.store, "order-1", [event(type="t" * 256)])
        assert len(await read_log(subject.store)) == 1


async def test_the_templates_older_snapshot_replaces_a_newer_one(postgres_server: Server):
    async with subject_of(postgres_server, "template") as subject, plain_connection(subject) as db:
        for version in (9, 5):
            await subject.store.save_snapshot(Snapshot("order-1", version, b"{}"))
        assert (await subject.store.load_snapshot("order-1")).version == 5
        assert await db.fetchval("SELECT stream_type FROM snapshots") == "order"


async def test_the_templates_checkpoint_beats_the_position_that_is_asked_for(
    postgres_server: Server,
):
    async with subject_of(postgres_server, "template") as subject:
        await append(subject.store, "order-1", events(150))
        async with following(subject.store) as first, following(subject.store) as second:
            assert versions(await first.until(150)) == list(range(150))
            assert versions(await second.until(150)) == list(range(150))
        await append(subject.store, "order-1")
        async with following(subject.store) as again:
            seen = versions(await again.until(1))
        assert seen[0] in (100, 150)


async def test_the_template_has_no_categories(postgres_server: Server):
    async with subject_of(postgres_server, "template") as subject:
        with pytest.raises(UnsupportedByStore):
            subject.store.subscribe(category="order")


async def test_the_template_selects_once_where_no_version_is_expected(postgres_server: Server):
    async with subject_of(postgres_server, "template") as subject:
        taken = []
        for expected in (StreamState.ANY, 0):
            before = subject.store._session.round_trips
            await append(subject.store, "order-1", expected=expected)
            taken.append(subject.store._session.round_trips - before)
    begin_and_commit, insert = 2, 1
    assert taken == [begin_and_commit + 1 + insert, begin_and_commit + 2 + insert]


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


async def test_who_waits_for_a_connection_is_served_before_who_comes_later(
    postgres_server: Server,
):
    async with subject_of(postgres_server, connections=1) as subject:
        pool, served = subject.store._session.pool, []

        async def turn(name):
            connection = await pool.take()
            served.append(name)
            await asyncio.sleep(0)
            pool.give_back(connection)

        held = await pool.take()
        waiting = asyncio.create_task(turn("who waited"))
        await asyncio.sleep(0)
        pool.give_back(held)
        await turn("who came later")
        await waiting
        assert served == ["who waited", "who came later"]


async def test_a_cancelled_append_gives_its_connection_up(postgres_server: Server):
    async with subject_of(postgres_server, connections=1) as subject:
        for _ in range(5):
            cancelled = asyncio.create_task(append(subject.store, "order-1"))
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.gather(cancelled, return_exceptions=True)
        await asyncio.wait_for(append(subject.store, "order-2", expected=StreamState.ANY), 5)


async def test_a_table_that_changed_under_a_prepared_statement_fails_one_call(
    postgres_server: Server,
):
    query = "SELECT * FROM checkpoints"
    async with subject_of(postgres_server, connections=1) as subject:
        session = subject.store._session
        async with plain_connection(subject) as connection:
            await session.read(query)
            await connection.execute("ALTER TABLE checkpoints ADD COLUMN more text")
        with pytest.raises(ReadFailed, match="InvalidCachedStatementError"):
            await session.read(query)
        assert await session.read(query) == []


async def test_the_weakest_setting_that_a_server_reports_decides_the_class(tmp_path: Path):
    serving_unsynced = serving(
        "postgres", way="native", scratch=tmp_path, settings={"fsync": "off"}
    )
    async with serving_unsynced as server:
        for commit, durability in (("on", Durability.PROCESS_CRASH), ("off", Durability.MEMORY)):
            async with subject_of(server, synchronous_commit=commit) as subject:
                settings = await subject.store.settings()
                assert (settings["fsync"], settings["synchronous_commit"]) == ("off", commit)
                assert subject.adapter.durability_of(settings) is durability


@pytest.mark.parametrize("unlogged", [False, True])
async def test_the_class_declared_is_the_one_read_back(postgres_server: Server, unlogged: bool):
    async with subject_of(postgres_server, unlogged=unlogged) as subject:
        settings = await subject.store.settings()
        declared = subject.adapter.declares(STORE.options(unlogged=unlogged)).durability
        assert subject.adapter.durability_of(settings) is declared
