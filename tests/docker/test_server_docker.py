"""A PostgreSQL in a container: what the lab makes, hurts, measures and leaves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import docker
import pytest

from harness import results
from harness.domain.errors import BadInput, NoServer
from harness.domain.faults import FaultKind
from harness.run.data_places import place_of
from harness.run.file_systems import Kind
from harness.servers import TECHNOLOGIES, lab_disk_hindrance, serving
from harness.servers.docker import project, stack
from harness.servers.docker.engine import PROJECT_LABEL
from harness.servers.native import guardian
from harness.servers.path.round_trip import measure

asyncpg = pytest.importorskip("asyncpg")
NO_DISK = lab_disk_hindrance()
with_a_disk = pytest.mark.skipif(bool(NO_DISK), reason=NO_DISK or "a disk of the lab's own")
GUARDED_S = 60


@pytest.fixture
def server(servers):
    """A container that these tests share."""
    return servers("postgres")


@pytest.fixture
def client():
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def made_up(client):
    """The project of `make up`, removed afterwards whatever the test did."""
    yield project.name()
    project.remove(client, project.name())


@pytest.fixture
def free_port(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("ESLAB_POSTGRES_PORT", str(port))
    return port


def things_of(client, label):
    wanted = {"label": label}
    return [
        *client.containers.list(all=True, filters=wanted),
        *client.volumes.list(filters=wanted),
        *client.networks.list(filters=wanted),
    ]


async def ask(endpoint, query):
    connection = await asyncpg.connect(endpoint.address, timeout=2, **endpoint.credentials)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_a_server_of_the_runs_own_is_there_and_then_nothing_of_it(tmp_path, client):
    async with serving("postgres", way="docker", scratch=tmp_path) as server:
        endpoint = server.endpoint
        label = f"{PROJECT_LABEL}={client.containers.get(endpoint.container).labels[PROJECT_LABEL]}"
        assert things_of(client, label)
        assert endpoint.provider == "docker"
        assert endpoint.pid
        assert "sha256:" in endpoint.image
        assert (await ask(endpoint, "show server_version")).startswith(endpoint.version)
        assert "credentials" not in repr(endpoint)
    assert things_of(client, label) == []


async def test_it_is_as_durable_as_a_native_one(server):
    settings = {
        name: await ask(server.endpoint, f"show {name}")
        for name in ("fsync", "synchronous_commit", "full_page_writes", "max_connections")
    }
    assert await ask(server.endpoint, "select datcollate from pg_database limit 1") == "C"
    assert settings == {
        "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
        "max_connections": "200",
    }  # fmt: skip


async def test_settings_of_a_scenario_are_read_back(tmp_path):
    settings = {"synchronous_commit": "off"}
    async with serving("postgres", way="docker", scratch=tmp_path, settings=settings) as server:
        assert await ask(server.endpoint, "show synchronous_commit") == "off"


async def test_a_setting_that_is_the_labs_own_is_refused(tmp_path):
    with pytest.raises(BadInput, match="'data_directory' is not a setting"):
        async with serving(
            "postgres", way="docker", scratch=tmp_path, settings={"data_directory": "/"}
        ):
            pass


async def test_data_survives_a_kill_and_costs_are_added_up_over_it(server):
    await ask(server.endpoint, "select count(*) from generate_series(1, 1000000)")
    connection = await asyncpg.connect(server.endpoint.address, **server.endpoint.credentials)
    await connection.execute("create table kept as select 1 as one")
    before = server.statistics()
    await server.kill()
    with pytest.raises((OSError, asyncpg.PostgresError)):
        await ask(server.endpoint, "select 1")
    await server.restart()
    assert await ask(server.endpoint, "select one from kept") == 1
    after = server.statistics()
    assert 0.05 < before.cpu_s < after.cpu_s < before.cpu_s + 5
    assert before.memory_bytes > 1_000_000
    assert before.disk_bytes is None or before.disk_bytes > 10_000_000


async def test_a_paused_server_is_silent_until_it_goes_on(server):
    await server.pause()
    with pytest.raises(TimeoutError):
        await ask(server.endpoint, "select 1")
    await server.resume()
    assert await ask(server.endpoint, "select 1") == 1
    await server.pause()
    await server.kill()
    await server.restart()
    assert await ask(server.endpoint, "select 1") == 1


async def test_a_cold_restart_reads_from_the_disk_or_says_what_it_needs(server):
    if os.geteuid() == 0:
        await server.restart(cold=True)
    assert await ask(server.endpoint, "select 1") == 1


async def test_the_place_of_the_data_is_the_volumes_and_not_the_containers_own_layer(server):
    place = place_of(await server.data_folder(), {})
    assert place.on is not None
    assert place.on.kind is not Kind.OVERLAY
    assert (place.sync is not None) == (os.geteuid() == 0)


@with_a_disk
async def test_its_volume_loses_power_and_fills_up_on_a_disk_of_the_labs_own(tmp_path, client):
    async with serving("postgres", way="docker", scratch=tmp_path, on_lab_disk=True) as server:
        inside = client.containers.get(server.endpoint.container)
        assert not any(server.why_not(kind) for kind in FaultKind)
        place = place_of(await server.data_folder(), {})
        assert (place.on.type, place.on.device[:9]) == ("ext4", "/dev/loop")
        connection = await asyncpg.connect(server.endpoint.address, **server.endpoint.credentials)
        await connection.execute("create table kept (one int)")
        await connection.execute("insert into kept values (1)")
        inside.exec_run(["sh", "-c", "echo unsynced >$PGDATA/written"])
        await server.kill()
        await server.restart()
        assert inside.exec_run(["sh", "-c", "cat $PGDATA/written"]).output == b"unsynced\n"
        inside.exec_run(["sh", "-c", "echo lost >$PGDATA/written-later"])
        await server.lose_power()
        await server.restart()
        later = inside.exec_run(["sh", "-c", "cat $PGDATA/written-later"])
        assert later.output != b"lost\n"
        assert await ask(server.endpoint, "select one from kept") == 1
        await server.fill_disk()
        with pytest.raises(asyncpg.DiskFullError):
            await ask(server.endpoint, "select generate_series(1, 1000000) as one into more")
        await server.free_disk()
        assert await ask(server.endpoint, "select one from kept") == 1
    assert not [point for point, _ in guardian.mounts() if str(tmp_path) in point]
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith("-volume")]


async def test_the_path_is_measured_through_the_port_and_past_it(server):
    path = await measure(server, TECHNOLOGIES["postgres"].line)
    assert path.kind in {"published port", "docker-proxy", "host network"}
    assert 1 < path.round_trip_us < 100_000
    if sys.platform == "linux" and path.kind != "host network":
        assert 1 < path.direct_round_trip_us < 100_000


async def bring_up(client, name, scratch):
    """As `make up` does it, PostgreSQL alone."""
    described = stack.compose.built() if not _official_here(client) else stack.compose.official()
    await stack.compose.up(
        described, ["postgres"], project=name, environment={}, changed={}, scratch=scratch
    )


async def test_a_run_takes_the_server_of_make_up_and_leaves_it(
    tmp_path, client, made_up, free_port
):
    await bring_up(client, made_up, tmp_path)
    async with serving("postgres", way="docker", scratch=tmp_path) as server:
        assert server.endpoint.address.endswith(f":{free_port}/postgres")
        container = server.endpoint.container
        await server.kill()
    assert client.containers.get(container).status == "running"
    client.containers.get(container).stop(timeout=10)
    with pytest.raises(NoServer, match=r"container that is exited .*`make down` removes it"):
        async with serving("postgres", way="docker", scratch=tmp_path):
            pass


async def test_a_run_whose_container_was_taken_away_ends_in_order(
    tmp_path, client, made_up, free_port
):
    """As `make down` in another terminal takes it."""
    await bring_up(client, made_up, tmp_path)
    async with serving("postgres", way="docker", scratch=tmp_path) as server:
        (found,) = client.containers.list(filters={"label": f"{PROJECT_LABEL}={made_up}"})
        found.remove(force=True)
        assert server.statistics().memory_bytes is None


def _official_here(client):
    return any("postgres:18" in tag for image in client.images.list() for tag in image.tags)


async def test_a_port_that_is_taken_is_named_with_the_variable_that_moves_it(tmp_path, free_port):
    told = f"port {free_port} is in use: set ESLAB_POSTGRES_PORT"
    with socket.create_server(("127.0.0.1", free_port)), pytest.raises(NoServer, match=told):
        async with serving("postgres", way="docker", scratch=tmp_path):
            pass


async def test_a_server_that_does_not_start_says_why_in_its_own_words(tmp_path, client):
    before = set(client.containers.list(all=True))
    with pytest.raises(
        NoServer, match=r"container is exited with code 1: .*FATAL: .*shared_buffers"
    ):
        async with serving(
            "postgres", way="docker", scratch=tmp_path, settings={"shared_buffers": "-5"}
        ):
            pass
    # Other tests of a parallel run have containers of their own, which are running.
    left = [each for each in client.containers.list(all=True) if each.status == "exited"]
    assert set(left) <= before


LAB = """
import asyncio, sys
from pathlib import Path
from harness.servers import serving

async def main():
    scratch = Path(sys.argv[1])
    async with serving("postgres", way="docker", scratch=scratch, on_lab_disk=True) as server:
        print(server.endpoint.container, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_what_a_killed_run_left_is_found_and_removed_by_make_down(tmp_path, client):
    lab = subprocess.Popen(
        [sys.executable, "-c", LAB, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    container = client.containers.get(lab.stdout.readline().strip())
    name = container.labels[PROJECT_LABEL]
    assert name not in project.left_behind(client)
    disks = [(point, device) for point, device in guardian.mounts() if str(tmp_path) in point]
    assert bool(disks) == (not NO_DISK)
    lab.kill()
    lab.communicate()
    deadline = time.monotonic() + GUARDED_S
    while list(tmp_path.glob("*-volume")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [point for point, _ in guardian.mounts() if str(tmp_path) in point]
    assert not list(tmp_path.glob("*-volume"))
    assert name in project.left_behind(client)
    assert container.name in stack.down()
    assert things_of(client, f"{PROJECT_LABEL}={name}") == []
    assert not [device for _, device in disks if str(tmp_path) in guardian.backing_file(device)]


def test_a_run_in_containers_says_so_and_shows_its_path(tmp_path):
    command = [
        sys.executable,
        "-m",
        "harness",
        "run",
        "scenarios/quick.yaml",
        "--servers",
        "docker",
    ]
    command += ["--stores", "postgres", "--repeat", "1", "--out", str(tmp_path)]
    command += ["--set", "duration_s=0.5", "--set", "warm_up_s=0.1", "--set", "path.rtt_ms=2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (path for path in tmp_path.iterdir() if not path.name.startswith("."))
    loaded = results.load(run)
    idle, longer = loaded.manifest["servers"]["postgres"]["paths"]
    assert loaded.trials["provider"].tolist() == ["docker"]
    assert loaded.trials["added_rtt_ms"].tolist() == [2.0]
    assert longer["round_trip_us"] > idle["round_trip_us"] + 2000
    assert loaded.trials["service_p50_ns"].item() > 2_000_000
