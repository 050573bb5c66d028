"""Each line of the default PostgreSQL design that keeps a promise: without it, a check fails.

The rest of the design may hold more than one thinks: without its lock, unique keys still prevent
two winners, and what fails is the error that losers get.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.conformance import FAST, CheckVerdict, StoreUnderTest, measure, numbered
from harness.domain.factory import StoreFactory
from harness.servers import Server
from harness.stores.postgres.log import ByTransaction
from harness.stores.postgres.options import PostgresOptions
from harness.stores.postgres.rows import QUERY, SQL
from harness.stores.postgres.store import StreamLock

from ..stores.subject import fresh

ALONE = replace(FAST, processes=0)


class Unlocked(StreamLock):
    lock = "NULL"


class WithoutHorizon(StreamLock):
    class order(ByTransaction):  # noqa: N801 - the name of what it replaces
        async def page(self, fetch, after, end, limit):
            query = QUERY["log_by_transaction"]
            horizon = "tx < least(pg_snapshot_xmin(pg_current_snapshot()), $3)"
            assert horizon in query
            return await fetch(query.replace(horizon, "tx < $3"), *(after or (0, 0)), end, limit)

        async def delayed(self, fetch, end):
            return frozenset()

    order = order()


async def failing(server: Server, store: type[StreamLock], checks: str) -> dict[int, str]:
    """What fails, and why, of these checks on a fresh namespace."""
    factory = StoreFactory(store, fresh(server.endpoint), PostgresOptions())
    opened = await factory.open()
    await opened.setup()
    try:
        found = await measure(
            StoreUnderTest(store.__name__, factory, server), numbered(checks), ALONE
        )
    finally:
        await opened.teardown()
        await opened.aclose()
    return {n: each.why for n, each in found.items() if each.verdict is CheckVerdict.FAILS}


@pytest.fixture
def altered(monkeypatch: pytest.MonkeyPatch):
    """`altered(file, old, new)` in the SQL that the next store sets up."""

    def alter(file: str, old: str, new: str) -> None:
        plain = SQL.text
        text = plain(file)
        assert old in text
        changed = text.replace(old, new)
        monkeypatch.setattr(SQL, "text", lambda name: changed if name == file else plain(name))

    return alter


KEEPS_TABLE = """
CREATE TRIGGER events_keep_table BEFORE TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


async def test_nothing_fails_as_it_stands(postgres_server: Server):
    assert await failing(postgres_server, StreamLock, "2,9,11,16,17,21,24,27") == {}


async def test_without_the_lock_racers_are_refused_by_a_key_and_not_as_conflicts(
    postgres_server: Server,
):
    found = await failing(postgres_server, Unlocked, "11,16,17,21")
    assert "got AppendRefused" in found[17]
    assert "did not succeed" in found[21]
    assert 16 not in found


async def test_without_the_horizon_a_tailing_reader_misses_late_commits(postgres_server: Server):
    found = await failing(postgres_server, WithoutHorizon, "9")
    assert found == {9: "the reader passed over an event that committed late"}


async def test_without_the_refusal_of_an_early_transaction_streams_are_inverted(
    postgres_server: Server, altered
):
    altered("append", "IF out_of_place() THEN", "IF false THEN")
    found = await failing(postgres_server, StreamLock, "11")
    assert found == {11: "the log inverts a stream"}


async def test_without_the_look_up_of_ids_retries_are_not_recognised(
    postgres_server: Server, altered
):
    altered("write", "IF EXISTS (SELECT FROM events WHERE id = ANY (p_ids))", "IF false")
    found = await failing(postgres_server, StreamLock, "24,27")
    assert found == {24: "an exact retry was refused", 27: "an exact retry was refused"}


async def test_without_its_trigger_the_table_can_be_truncated(postgres_server: Server, altered):
    altered("events", KEEPS_TABLE, "")
    assert await failing(postgres_server, StreamLock, "2") == {2: "a recorded event was deleted"}
