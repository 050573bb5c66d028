"""SQLite beyond the contract: its file, its lock, several processes, and a disk that is full."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from harness.domain.durability import Durability
from harness.domain.errors import (
    AppendRefused,
    EventTooLarge,
    OutcomeUnknown,
    ReadFailed,
    StoreUnavailable,
    TamperingPrevented,
    Unsuitable,
)
from harness.domain.store import Endpoint
from harness.stores.sqlite import SqliteOptions, SqliteStore
from harness.stores.sqlite.connection import open_file
from harness.stores.sqlite.maintenance import make_schema

from .contract.support import append, event, events, following, ids, read, read_log, versions

CHILD = Path(__file__).with_name("sqlite_child.py")
Child = subprocess.Popen[str]


@asynccontextmanager
async def opened(folder: Path, **options: object) -> AsyncIterator[SqliteStore]:
    endpoint = Endpoint(str(folder), "eslab_test")
    store = await SqliteStore.connect(endpoint, SqliteOptions(**options))
    await store.setup()
    yield store
    await store.teardown()
    await store.aclose()


async def test_a_file_that_cannot_have_a_write_ahead_log_is_refused_and_left_empty(tmp_path: Path):
    path = tmp_path / "eslab.sqlite"
    path.touch()
    # Without shared memory SQLite keeps its old journal and says nothing.
    uri = f"{path.as_uri()}?vfs=unix-dotfile"
    with (
        closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection,
        pytest.raises(Unsuitable, match="journal_mode = 'wal' is 'delete'"),
    ):
        make_schema(connection, SqliteStore.schema)
    assert path.stat().st_size == 0


async def test_an_option_that_sqlite_does_not_take_is_refused(tmp_path: Path):
    path = tmp_path / "eslab.sqlite"
    path.touch()
    with pytest.raises(Unsuitable, match="synchronous = 'fulll' is 'normal'"):
        open_file(path, synchronous="fulll", busy_timeout_s=1)


async def test_only_a_trigger_of_the_schema_is_the_stores_refusal(tmp_path: Path):
    async with opened(tmp_path) as store:
        await append(store, "order-1")
        assert not await store.overwrite("order-1", 0, b"{}")
        assert not await store.delete("order-1", 0)
        with pytest.raises(TamperingPrevented, match="no such event"):
            await store.delete("order-1", 7)
        with closing(sqlite3.connect(store.path, isolation_level=None)) as stranger:
            stranger.execute("ALTER TABLE events RENAME TO others")
        with pytest.raises(TamperingPrevented, match="no such table"):
            await store.overwrite("order-1", 0, b"{}")


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@contextmanager
def appending_process(folder: Path, count: int) -> Iterator[Child]:
    command = [sys.executable, str(CHILD), str(folder), "eslab_test", str(count)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "ready\n"
        yield child


def start(child: Child) -> None:
    child.stdin.write("go\n")
    child.stdin.flush()


async def test_connecting_makes_no_file_and_tearing_down_leaves_none(tmp_path: Path):
    store = await SqliteStore.connect(Endpoint(str(tmp_path), "eslab_test"), SqliteOptions())
    with pytest.raises(StoreUnavailable):
        await append(store, "order-1")
    with pytest.raises(ReadFailed):
        await read_log(store)
    assert files_in(tmp_path) == []
    await store.setup()
    await append(store, "order-1")
    await read_log(store)
    assert "eslab_test.sqlite" in files_in(tmp_path)
    await store.teardown()
    await store.aclose()
    await store.aclose()
    assert files_in(tmp_path) == []


async def test_a_missing_folder_is_an_unavailable_store(tmp_path: Path):
    with pytest.raises(StoreUnavailable):
        await SqliteStore.connect(Endpoint(str(tmp_path / "none"), "eslab_test"), SqliteOptions())


@pytest.mark.parametrize(
    ("synchronous", "durability"),
    [
        ("full", Durability.POWER_LOSS),
        ("normal", Durability.PROCESS_CRASH),
        ("off", Durability.PROCESS_CRASH),
    ],
)
async def test_the_durability_declared_is_the_one_read_back(
    tmp_path: Path, synchronous: str, durability: Durability
):
    assert SqliteStore.declares(SqliteOptions(synchronous=synchronous)).durability is durability
    async with opened(tmp_path, synchronous=synchronous) as store:
        settings = await store.settings()
    assert (settings["synchronous"], settings["journal_mode"]) == (synchronous, "wal")
    assert settings["version"] == sqlite3.sqlite_version
    assert SqliteStore.durability_of(settings) is durability


async def test_another_processs_lock_makes_the_store_unavailable_for_writing(tmp_path: Path):
    async with opened(tmp_path, busy_timeout_s=0.05) as store:
        await append(store, "order-1")
        path = tmp_path / "eslab_test.sqlite"
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable):
                await append(store, "order-1")
            assert len(await read_log(store)) == 1
        assert (await append(store, "order-1")).version == 1


async def test_an_event_over_sqlites_limit_is_too_large(tmp_path: Path):
    async with opened(tmp_path) as store:
        await store._writer.call(lambda c: c.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000))
        with pytest.raises(EventTooLarge):
            await append(store, "order-1", [event(), event(b"x" * 20_000)])
        assert await read_log(store) == []


async def test_a_full_database_refuses_and_goes_on_when_there_is_room(tmp_path: Path):
    async with opened(tmp_path) as store:
        await append(store, "order-1")
        pages = "PRAGMA max_page_count = {}"
        await store._writer.call(lambda c: c.execute(pages.format(1)))
        with pytest.raises(AppendRefused) as refused:
            await append(store, "order-1", [event(b"x" * 100_000)])
        assert refused.value.reason == "SQLITE_FULL"
        await store._writer.call(lambda c: c.execute(pages.format(2**30)))
        assert (await append(store, "order-1")).version == 1


async def test_a_commit_that_cannot_reach_the_disk_has_an_unknown_outcome(tmp_path: Path):
    async with opened(tmp_path) as store:
        await append(store, "order-1")
        batch = [event(b"x" * 100_000)]
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        log_bytes = (tmp_path / "eslab_test.sqlite-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (log_bytes + 5_000, limits[1]))
        try:
            with pytest.raises(OutcomeUnknown):
                await append(store, "order-1", batch)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        written = ids(batch)[0] in ids(await read(store, "order-1"))
        retried = await append(store, "order-1", batch)
        assert retried.version == 1
        assert not written
        assert len(await read_log(store)) == 2


async def test_processes_take_turns_and_never_share_a_version(tmp_path: Path):
    async with opened(tmp_path) as store:
        with appending_process(tmp_path, 100) as one, appending_process(tmp_path, 100) as other:
            async with following(store) as follower:
                start(one)
                start(other)
                log = await follower.until(200)
            acknowledged = [tuple(line.split()) for child in (one, other) for line in child.stdout]
        assert sorted(int(version) for _, version in acknowledged) == list(range(200))
        assert versions(log) == list(range(200))
        assert {(str(one.id), str(one.version)) for one in log} == set(acknowledged)
        assert [one.position[0] for one in log] == list(range(1, 201))


async def test_what_a_killed_process_was_told_is_there(tmp_path: Path):
    async with opened(tmp_path) as store:
        with appending_process(tmp_path, 10_000) as child:
            start(child)
            acknowledged = [child.stdout.readline() for _ in range(50)]
            child.kill()
            acknowledged += child.stdout.readlines()
        whole = [line.split()[0] for line in acknowledged if line.endswith("\n")]
        log = await read_log(store)
        assert [str(one) for one in ids(log)][: len(whole)] == whole
        assert len(log) <= len(whole) + 1
        assert (await append(store, "order-1", events(1))).version == len(log)
