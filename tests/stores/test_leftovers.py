"""What killed runs leave on a server that outlives them, on real servers: found and removed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from harness.domain.factory import StoreFactory
from harness.domain.marks import PREFIX, Mark
from harness.domain.store import NewEvent, StreamState
from harness.run import leftovers
from harness.stores import kinds
from tests.e2e.command import ESLAB, eslab

from .cases import DOUBLED

HERE = Mark.of_this_run()
DEAD, FAR = replace(HERE, birth="1"), replace(HERE, machine="00000000")
LIMIT_S = 10.0
SERVED = [kind for kind in kinds().values() if kind.server and not kind.missing_driver()]


@pytest.fixture(params=SERVED, ids=lambda kind: kind.name)
def kind(request):
    return request.param


@pytest.fixture
def endpoint(kind, servers, double):
    return (double() if kind.server in DOUBLED else servers(kind.server)).endpoint


async def made(kind, endpoint, name):
    how = StoreFactory(kind.variants[""], replace(endpoint, namespace=name), kind.options())
    async with how.opened() as store:
        await store.setup()
        await store.append("a", [NewEvent(uuid4(), "b", b"{}")], expected=StreamState.ANY)
    return how


async def test_what_a_dead_run_left_is_removed_and_nothing_else(kind, endpoint):
    dead, mine, far, other = names = [
        f"{PREFIX}{mark}_1" for mark in (DEAD, replace(HERE, chance="abcd"), FAR, "orders")
    ]
    hows = [await made(kind, endpoint, name) for name in names]
    found = {each.name: each for each in await leftovers.on_server(kind, endpoint)}
    assert set(names) <= set(found)
    assert [not found[name].state() for name in names] == [True, False, False, False]
    await found[dead].remove()
    left = {each.name for each in await leftovers.on_server(kind, endpoint)}
    assert left & set(names) == {mine, far, other}
    for how in hows:
        async with how.opened() as store:
            await store.teardown()


@contextmanager
def running(*arguments: object, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A lab in a process group of its own, with what it started."""
    with subprocess.Popen(
        [*ESLAB, *map(str, arguments)],
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    ) as process:
        yield process
        process.kill()


def asked(dsn: str, statement: str) -> list[tuple[str]]:
    async def ask():
        asyncpg = pytest.importorskip("asyncpg")
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    return asyncio.run(ask())


def make_schema(dsn: str, name: str) -> None:
    asked(dsn, f'create schema "{name}"')


def until(seen, limit_s=60.0):
    deadline = time.monotonic() + limit_s
    while not (found := seen()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def processes(root: psutil.Process) -> list[psutil.Process]:
    return [each for each in root.children(recursive=True) if each.is_running()]


def alive(each: psutil.Process) -> bool:
    try:
        return each.is_running() and each.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_killed_run_on_a_server_of_the_users_leaves_nothing(postgres_server, tmp_path):
    """Its schema, its files and its worker processes, by its guardian, within ten seconds.

    And it has removed, when it began, what an earlier one left whose guardian was killed, too.
    """
    dsn, out = postgres_server.endpoint.address, tmp_path / "out"

    def schemas() -> list[str]:
        rows = asked(dsn, "select nspname from pg_namespace")
        return [row[0] for row in rows if Mark.found_in(row[0])]

    earlier = f"{PREFIX}{DEAD}_8"
    make_schema(dsn, earlier)
    command = ["conformance", "--stores", "postgres", "--checks", "9", "--servers", "external"]
    with running(*command, "--out", out, ESLAB_POSTGRES_DSN=dsn) as lab:
        root = psutil.Process(lab.pid)
        assert until(lambda: set(schemas()) - {earlier})
        family = until(lambda: [] if len(processes(root)) < 4 else processes(root))
        assert family, "the check has no worker processes yet"
        assert earlier not in schemas()
        scratch = list(out.glob(".scratch-*"))
        lab.kill()
        lab.wait()

        def rest() -> list[object]:
            return [
                *schemas(),
                *filter(alive, family),
                *(each for each in scratch if each.exists()),
            ]

        until(lambda: not rest(), LIMIT_S)
        assert rest() == []


def test_clean_lists_first_and_removes_when_told_to(postgres_server, tmp_path):
    dsn = postgres_server.endpoint.address
    environment = os.environ | {"ESLAB_POSTGRES_DSN": dsn}
    name = f"{PREFIX}{DEAD}_7"
    make_schema(dsn, name)
    listed = eslab("clean", "--out", tmp_path, env=environment)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert f"postgres      {name}  to be removed\n" in listed.stdout
    assert listed.stdout.endswith("to be removed: eslab clean --yes\n")
    removed = eslab("clean", "--yes", "--out", tmp_path, env=environment)
    assert f"postgres      {name}  removed\n" in removed.stdout
    assert name not in eslab("clean", "--out", tmp_path, env=environment).stdout


def test_a_server_that_does_not_answer_is_named_and_is_no_reason_to_stop(tmp_path):
    (tmp_path / f".scratch-{DEAD}").mkdir()
    environment = os.environ | {"ESLAB_POSTGRES_DSN": "postgresql://ann:s3cret@127.0.0.1:1/x"}
    answer = eslab("clean", "--yes", "--out", tmp_path, env=environment)
    assert answer.returncode == 4
    assert "not asked: postgres: ESLAB_POSTGRES_DSN: " in answer.stdout
    assert "s3cret" not in answer.stdout + answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_closed_terminal_leaves_no_semaphore_of_the_checks(tmp_path):
    """Python's own cleaner of them is of the same process group."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        pytest.skip("no /dev/shm on this system")
    command = ["conformance", "--stores", "sqlite", "--checks", "9", "--out", tmp_path]
    with running(*command) as lab:

        def made() -> list[Path]:
            try:
                maps = Path(f"/proc/{lab.pid}/maps").read_text().splitlines()
            except OSError:
                return []
            inodes = {line.split()[4] for line in maps if "/dev/shm" in line}
            found = [each for each in shared.glob("sem.mp-*") if inode(each) in inodes]
            return found if len(processes(psutil.Process(lab.pid))) > 3 else []

        semaphores = until(made)
        assert semaphores
        os.killpg(lab.pid, signal.SIGHUP)
        lab.wait(30)
        until(lambda: not any(map(Path.exists, semaphores)), LIMIT_S)
        assert not any(map(Path.exists, semaphores))


def inode(path: Path) -> str:
    try:
        return str(path.stat().st_ino)
    except FileNotFoundError:
        return ""
