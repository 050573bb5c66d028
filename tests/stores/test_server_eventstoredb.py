"""EventStoreDB's native way: a program that the user has, found, started, hurt and removed.

The tests of a fake program run one that has a server's options and is the double behind them:
where the lab is built, no server can be had. `native` ones run the program that the user has.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict, replace
from pathlib import Path
from uuid import uuid4

import pytest

from harness.cli.doctor import _users_programs
from harness.domain.errors import BadInput, NoServer
from harness.domain.store import StreamState
from harness.servers import choose_way, probe, serving
from harness.servers.native import eventstoredb
from tests.stores.contract.support import append, read_log

if not any(map(__import__("importlib.util").util.find_spec, ("esdbclient", "kurrentdbclient"))):
    pytest.skip("pip install 'eventstore-lab[eventstoredb]'", allow_module_level=True)

from harness.stores.eventstoredb import STORE

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "tests" / "doubles" / "eventstoredb" / "program.py"


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A program on PATH that is called as a server's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.delenv(eventstoredb.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return script(
        folder / "eventstored",
        f'PYTHONPATH="{ROOT}" exec "{sys.executable}" "{PROGRAM}" "$@"',
    )


@pytest.fixture
def nothing(tmp_path, monkeypatch):
    """Neither on PATH nor named."""
    monkeypatch.delenv(eventstoredb.VARIABLE, raising=False)
    monkeypatch.delenv("ESLAB_EVENTSTOREDB_URI", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_without_a_program_one_line_has_the_two_other_ways(nothing):
    found = probe("eventstoredb", "native")
    assert not found.ready
    assert "\n" not in found.detail
    for way in (
        "eventstored",
        "kurrentd",
        "ESLAB_EVENTSTORED",
        "make up",
        "ESLAB_EVENTSTOREDB_URI",
    ):
        assert way in found.detail


def test_a_fake_program_on_the_path_is_found_with_its_place_and_version(fake):
    found = probe("eventstoredb", "native")
    assert found.ready
    assert found.version == "23.10.8.0"
    (line,) = _users_programs([asdict(found)])
    assert line == (
        f"eventstoredb (native): version 23.10.8.0 of {fake}, as a process of the lab's own"
    )


@pytest.mark.parametrize("name", eventstoredb.PROGRAMS)
def test_every_name_of_the_program_is_known_and_a_variable_comes_first(name, fake, monkeypatch):
    other = fake.rename(fake.with_name(name))
    assert eventstoredb.program() == other
    elsewhere = script(fake.parent.parent / "mine", "echo KurrentDB version 26.1.0.3137")
    monkeypatch.setenv(eventstoredb.VARIABLE, str(elsewhere))
    assert eventstoredb.program() == elsewhere
    assert probe("eventstoredb", "native").version == "26.1.0.3137"


def test_a_variable_that_names_no_program_is_bad_input(tmp_path, monkeypatch):
    for wrong in (tmp_path / "missing", tmp_path):
        monkeypatch.setenv(eventstoredb.VARIABLE, str(wrong))
        with pytest.raises(BadInput, match=r"^ESLAB_EVENTSTORED: \S+ is not a program"):
            choose_way(["eventstoredb"], "native")


@pytest.mark.parametrize(
    ("body", "why"), [("exit 3", "does not run here"), ("echo hello", "tells no version")]
)
def test_a_program_that_is_another_is_one_line(body, why, tmp_path, monkeypatch):
    monkeypatch.setenv(eventstoredb.VARIABLE, str(script(tmp_path / "odd", body)))
    found = probe("eventstoredb", "native")
    assert not found.ready
    assert why in found.detail
    assert "\n" not in found.detail


def command_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


async def test_a_fake_program_is_started_hurt_and_removed_like_any_server(fake, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    settings = {"RUN_PROJECTIONS": "System"}
    async with serving("eventstoredb", way="native", scratch=scratch, settings=settings) as server:
        assert server.endpoint.version == "23.10.8.0"
        command = command_of(server.endpoint.pid)
        assert "--insecure" in command
        assert "--node-ip=127.0.0.1" in command
        assert "--run-projections=System" in command
        assert server.statistics().log_bytes == 4096
        endpoint = replace(server.endpoint, namespace=f"eslab_{uuid4().hex[:8]}")
        store = await STORE.variants[""].connect(endpoint, STORE.options(deadline_s=5.0))
        await store.setup()
        await append(store, "order-1", expected=StreamState.NO_STREAM)
        await server.pause()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await read_log(store)
        await server.resume()
        assert len(await read_log(store)) == 1
        await store.aclose()
        await server.kill()
        await server.restart()
        assert await eventstoredb.takes_appends(int(endpoint.address.rpartition(":")[2][:5]))
    assert list(scratch.iterdir()) == []


async def test_a_fake_program_that_stops_at_an_option_says_which(fake, tmp_path):
    with pytest.raises(NoServer, match="unknown option"):
        async with serving(
            "eventstoredb", way="native", scratch=tmp_path, settings={"WORKER_THREADS": "5"}
        ):
            pass


async def test_a_server_is_ready_when_it_takes_an_append_on_the_double():
    from ..doubles.eventstoredb import Double  # noqa: PLC0415

    double = Double()
    port = double._port
    assert not await eventstoredb.takes_appends(port)
    await double.start()
    try:
        now = asyncio.get_running_loop().time()
        double.state.refuses_appends_until = now + 0.3
        assert await eventstoredb._is_alive(port)
        assert not await eventstoredb.takes_appends(port)
        await asyncio.sleep(0.35)
        assert await eventstoredb.takes_appends(port)
    finally:
        await double.stop()


def test_what_the_environment_says_to_a_server_does_not_reach_it(monkeypatch):
    from harness.servers.local import clean_environment  # noqa: PLC0415

    for name in ("EVENTSTORE_MEM_DB", "KURRENTDB_CLUSTER_SIZE"):
        monkeypatch.setenv(name, "1")
    assert not [name for name in clean_environment() if name.startswith(("EVENTSTORE", "KURRENT"))]


NATIVE = probe("eventstoredb", "native")


@pytest.mark.server_not_here
@pytest.mark.skipif(not NATIVE.ready, reason=f"native eventstoredb: {NATIVE.detail}")
async def test_the_users_program_keeps_what_it_acknowledged_over_a_kill(tmp_path):
    async with serving("eventstoredb", way="native", scratch=tmp_path) as server:
        endpoint = replace(server.endpoint, namespace=f"eslab_{uuid4().hex[:8]}")
        store = await STORE.variants[""].connect(endpoint, STORE.options(deadline_s=10.0))
        await store.setup()
        for number in range(20):
            await append(store, f"order-{number}")
        await store.aclose()
        await server.kill()
        await server.restart()
        again = await STORE.variants[""].connect(
            replace(server.endpoint, namespace=endpoint.namespace), STORE.options()
        )
        assert len(await read_log(again)) == 20
        assert server.statistics().log_bytes
        await again.aclose()
