"""What an event costs, counted on real servers: the same twice, and more where more is done."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from harness.domain import costs
from harness.domain.errors import StoreError
from harness.domain.store import Adapter, Endpoint, StoreOptions
from harness.load.coordinator import Measured, coordinate, inline_workers
from harness.load.trial_files import Sinks
from harness.run.event_costs import EACH
from harness.scenario.model import (
    ClosedLoop,
    EventShape,
    Streams,
    Trial,
)
from harness.scenario.names import StoreRef
from harness.servers import Server
from harness.stores import kinds
from harness.stores.postgres.store import StreamLock
from harness.workloads.append import WORKLOAD as APPEND

from ..conftest import shared_servers
from .contract.support import append, event
from .subject import fresh, opened

OPERATIONS = 600
NOWHERE = Sinks(None, None, None)
POSTGRES, SQLITE = kinds()["postgres"], kinds()["sqlite"]


def trial_of(technology: str, seed: str) -> Trial:
    return Trial(
        number=1, scenario="costs", store=StoreRef(technology),
        workload="append", parameters=APPEND.parameters(), load=ClosedLoop(workers=8), processes=1,
        added_rtt_ms=0.0,
        events=EventShape(types={"Placed": 1}),
        streams=Streams(count=100),
        verify=None, conformance=False, server_settings={}, point={}, warm_up_s=0.2,
        duration_s=None, operations=OPERATIONS, drain_s=5.0, repetition=1, seed=seed,
    )  # fmt: skip


async def measured(
    adapter: type[Adapter],
    options: StoreOptions,
    server: Server | None,
    endpoint: Endpoint,
    seed: str,
) -> Measured:
    """A trial of a fixed number of appends."""
    async with opened(adapter, options, endpoint, server) as subject:
        trial = trial_of("postgres" if server else "sqlite", seed)
        workload = APPEND.make(trial.parameters)
        async with inline_workers(trial, subject.store, workload, NOWHERE) as workers:
            return await coordinate(workers, trial)


async def postgres(server: Server, adapter: type[Adapter] = StreamLock, **options) -> dict:
    """What each append cost, by name."""
    usage = (
        await measured(
            adapter, POSTGRES.options(**options), server, fresh(server.endpoint),
            f"1/{Random().random()}",
        )
    ).usage  # fmt: skip
    return {name: used / OPERATIONS for name, used in usage.all_used().items()}


class Indexed(StreamLock):
    """The default design with an index that nobody noticed."""

    async def setup(self) -> None:
        await super().setup()
        await self._session.run("CREATE INDEX forgotten ON events (type, recorded_at)")


async def test_wal_bytes_an_event_are_the_same_twice_and_an_index_raises_them(
    postgres_server: Server,
):
    bytes_each = sorted([(await postgres(postgres_server))["log_bytes"] for _ in range(3)])
    # What the server writes for itself, such as a vacuum's, adds to one of them and takes nothing.
    assert bytes_each[1] == pytest.approx(bytes_each[0], rel=0.02)
    indexed = await postgres(postgres_server, Indexed)
    assert indexed["log_bytes"] > bytes_each[0] * 1.05


async def test_commits_and_round_trips_are_those_of_the_load_alone(postgres_server: Server):
    for _ in range(3):  # what the server does for itself, such as a vacuum, adds to one of them
        found = await postgres(postgres_server)
        if found["commits"] == found["round_trips"] == 1.0:
            break
    assert found["commits"] == found["round_trips"] == 1.0
    assert 0 < found["syncs"] <= 1.01
    tutorial = await postgres(postgres_server, POSTGRES.variants["template"])
    assert tutorial["round_trips"] > 3


async def test_what_is_counted_of_the_log_is_all_on_disk(postgres_server: Server):
    """Where it ends between two pages of a record under way, it cannot be read."""
    async with opened(StreamLock, POSTGRES.options(), fresh(postgres_server.endpoint)) as subject:
        counting, session = subject.store._counting, subject.store._session
        for number in range(20):
            await session.run(
                "SET synchronous_commit = off;"
                f" SELECT pg_logical_emit_message(false, 'eslab', repeat('x', {number * 500}));"
                " RESET synchronous_commit"
            )
            (written,) = await session.read(
                "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS bytes"
            )
            async with session.pool.connection() as connection:
                assert (await counting._end_of_wal(connection))["bytes"] >= written["bytes"]


@pytest.fixture(scope="module")
def own(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real PostgreSQL without tables of other tests."""
    for servers in shared_servers(runner, tmp_path_factory, way="native"):
        yield servers("postgres")


async def test_full_page_images_are_told_apart_from_the_log(own: Server):
    """Each checkpoint brings every page's image again, of more pages, and leaves the log alone.

    On a server of its own: where tables of other tests are, autovacuum writes to the log as well.
    """
    async with opened(StreamLock, POSTGRES.options(), fresh(own.endpoint)) as subject:
        trial = trial_of("postgres", "1/images")
        workload = APPEND.make(trial.parameters)
        async with inline_workers(trial, subject.store, workload, NOWHERE) as workers:
            usages = [(await coordinate(workers, trial)).usage for _ in range(5)]
    first, *_, last = usages
    assert last.used(costs.FULL_PAGE_BYTES) > 1.2 * first.used(costs.FULL_PAGE_BYTES)
    assert last.used("log_bytes") == pytest.approx(first.used("log_bytes"), rel=0.15)


@pytest.mark.parametrize("technology", ["postgres", "sqlite"])
async def test_compaction_gives_back_and_loses_nothing(
    technology: str, postgres_server: Server, tmp_path: Path
):
    kind = kinds()[technology]
    server = postgres_server if technology == "postgres" else None
    endpoint = fresh(postgres_server.endpoint if server else Endpoint(address=str(tmp_path)))
    async with opened(kind.variants[""], kind.options(), endpoint, server) as subject:
        for _ in range(20):
            await append(subject.store, f"order-{Random().random()}", [event() for _ in range(40)])
        await subject.store.settle()
        before = (await subject.store.counts())[costs.DATA_BYTES]
        log = [one.id async for one in subject.store.read_all()]
        await subject.store.compact()
        assert 0 < (await subject.store.counts())[costs.DATA_BYTES] <= before
        assert [one.id async for one in subject.store.read_all()] == log


async def test_counts_after_a_crash_recovery_are_missing_and_the_log_goes_on(own: Server):
    """Enough is committed after the crash for the counters to pass what they were."""
    async with opened(StreamLock, POSTGRES.options(), fresh(own.endpoint)) as subject:
        store, session = subject.store, subject.store._session
        for statistics in ("pg_stat_reset()", "pg_stat_reset_shared()"):
            await session.run(f"SELECT {statistics}")
        before = await store.counts()
        (backend,) = await session.read("SELECT pg_backend_pid() AS pid")
        os.kill(backend["pid"], signal.SIGKILL)
        for number in range(100):
            with suppress(StoreError):
                await append(store, f"order-{number}", [event()])
            await asyncio.sleep(0.02)
        usage = costs.Usage(before, await store.counts())
    assert usage.after[costs.COMMITS] > before[costs.COMMITS]
    assert usage.used(costs.COMMITS) is usage.used(costs.SYNCS) is None
    assert usage.reset == [costs.COMMITS, costs.FULL_PAGE_IMAGES, costs.SYNCS]
    assert usage.server_restarted
    assert usage.used(costs.LOG_BYTES_WITH_IMAGES) or usage.used(costs.LOG_BYTES) > 0


async def test_a_role_without_rights_still_counts_what_it_may(postgres_server: Server):
    endpoint = fresh(postgres_server.endpoint)
    async with opened(StreamLock, POSTGRES.options(), endpoint) as subject:
        await subject.store._session.run("DROP EXTENSION IF EXISTS pg_walinspect")
        role = f"plain_{endpoint.namespace}"
        await subject.store._session.run(
            f'CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA "{endpoint.namespace}" TO {role}'
        )
        plain = await subject.connect(
            replace(endpoint, address=endpoint.address.replace("postgres@", f"{role}@"))
        )
        await plain.settle()
        await append(subject.store, "order-1", [event()])
        counts = await plain.counts()
    assert costs.LOG_BYTES not in counts
    assert counts[costs.LOG_BYTES_WITH_IMAGES] > 0


async def test_an_extension_that_is_there_already_is_used_and_left_alone(postgres_server: Server):
    async with opened(StreamLock, POSTGRES.options(), fresh(postgres_server.endpoint)) as other:
        session = other.store._session
        await session.run("DROP EXTENSION IF EXISTS pg_walinspect")
        await session.run("CREATE EXTENSION pg_walinspect SCHEMA public")
        try:
            found = await postgres(postgres_server)
            left = await session.read("SELECT 1 FROM pg_extension WHERE extname = 'pg_walinspect'")
        finally:
            await session.run("DROP EXTENSION pg_walinspect")
    assert found[costs.LOG_BYTES] > 0
    assert left


async def test_sqlite_tells_its_file_and_no_log(tmp_path):
    endpoint = Endpoint(str(tmp_path), namespace="costs")
    found = await measured(SQLITE.variants[""], SQLITE.options(), None, endpoint, "1/1")
    assert found.usage.used(costs.DATA_BYTES) > 256 * OPERATIONS * 0.5
    assert found.usage.after[costs.DISK_BYTES] > found.usage.after[costs.DATA_BYTES]
    assert found.usage.used(costs.LOG_BYTES) is None


def test_every_count_that_has_a_column_has_a_word():
    words = {value for name, value in vars(costs).items() if name.isupper()}
    assert set(EACH) <= words | set(costs.BILLED)


@pytest.fixture
def broker(servers: Callable[[str], Server]) -> Server:
    server = servers("kafka")
    if not server.controllable:
        pytest.skip("an external broker's files cannot be seen")
    return server


async def test_kafkas_log_is_counted_from_its_segments(broker: Server):
    server = broker
    adapter, options = kinds()["kafka"].variants[""], kinds()["kafka"].options()
    async with opened(adapter, options, fresh(server.endpoint), server) as subject:
        before = server.statistics().log_bytes
        for number in range(40):
            await append(subject.store, f"order-{number % 4}", [event(b"x" * 1000)])
        written = server.statistics().log_bytes - before
    assert 40_000 < written < 60_000
    for _ in range(100):  # a topic is deleted behind the answer
        if server.statistics().log_bytes < before + written:
            return
        await asyncio.sleep(0.05)
    pytest.fail("a deleted topic is still counted")
