"""`NativeServer` on a technology of its own: Python's web server, added by a recipe alone."""

import asyncio
import signal
import socket
import sys
import time
import urllib.request
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from harness.domain.errors import NoServer
from harness.domain.store import Endpoint
from harness.servers.native.place import Place
from harness.servers.native.server import Native, NativeServer, Plan


class WebRecipe:
    """Serves its data folder on a free port of the loopback."""

    technology = "web"
    unprivileged = False
    warm_up_s = 0.0

    def __init__(self, *, prepare=("mkdir", "data"), arguments=(), binary=sys.executable):
        self._prepare, self._arguments, self._binary = prepare, arguments, binary
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]

    def plan(self, place):
        serve = [self._binary, "-m", "http.server", "-d", str(place.data), "-b", "127.0.0.1"]
        return Plan(
            prepare=[self._prepare],
            serve=[*serve, *self._arguments, str(self._port)],
            orderly=signal.SIGINT,
            abandon=signal.SIGTERM,
        )

    async def answers(self, place, pid):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    def log_bytes(self, place):
        return None

    def endpoint(self, place):
        return Endpoint(f"http://127.0.0.1:{self._port}")


@asynccontextmanager
async def running(recipe, scratch):
    server = NativeServer(recipe, scratch=scratch, version="1")
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


def fetched(server, name):
    with urllib.request.urlopen(f"{server.endpoint.address}/{name}", timeout=5) as answer:
        return answer.read()


def children():
    return set(psutil.Process().children())


def end(process):
    """Kill it and see it dead, but leave the reaping to its parent."""
    process.kill()
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.005)


def home(scratch):
    return next(scratch.glob("web-*"))


def test_a_recipe_is_all_that_another_technology_needs(tmp_path):
    async def live():
        async with running(WebRecipe(), tmp_path) as server:
            (home(tmp_path) / "data" / "greeting").write_text("hello")
            assert fetched(server, "greeting") == b"hello"
            assert server.endpoint.provider == "native"
            first = server.endpoint.pid
            await server.kill()
            assert not psutil.pid_exists(first)
            await server.restart()
            assert fetched(server, "greeting") == b"hello"
            assert server.endpoint.pid != first
            return server.endpoint.pid

    last = asyncio.run(live())
    assert not psutil.pid_exists(last)
    assert list(tmp_path.iterdir()) == []


def failure_of(recipe, scratch):
    async def enter():
        async with running(recipe, scratch):
            pytest.fail("it started")

    with pytest.raises(NoServer) as caught:
        asyncio.run(enter())
    assert list(scratch.iterdir()) == []
    message = str(caught.value)
    assert "\n" not in message
    return message


def kept_log(message):
    log = Path(message.rpartition("(log: ")[2].rstrip(")"))
    text = log.read_text()
    log.unlink()
    return text


def test_a_server_that_ends_before_it_answers_says_why_and_keeps_its_log(tmp_path):
    message = failure_of(WebRecipe(arguments=["--nonsense"]), tmp_path)
    assert message.startswith("web: did not start: ")
    assert "error: unrecognized arguments: --nonsense" in message
    assert "usage:" in kept_log(message)


def test_a_preparation_that_fails_says_why(tmp_path):
    message = failure_of(WebRecipe(prepare=("mkdir", "no/such/folder")), tmp_path)
    assert message.startswith("web: mkdir failed: ")
    assert "No such file or directory" in message
    kept_log(message)


def test_a_server_that_prints_nothing_says_that(tmp_path):
    message = failure_of(WebRecipe(binary="/bin/false"), tmp_path)
    assert message.startswith("web: did not start: it printed nothing")
    kept_log(message)


def test_a_missing_binary_is_one_clear_line(tmp_path):
    message = failure_of(WebRecipe(binary="/no/such/java"), tmp_path)
    assert message == "web: [Errno 2] No such file or directory: '/no/such/java'"


def test_a_file_in_the_way_of_the_scratch_folder_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")

    async def enter():
        async with running(WebRecipe(), tmp_path / "file"):
            pytest.fail("it started")

    with pytest.raises(NoServer, match=r"^web: cannot be set up: .*file"):
        asyncio.run(enter())


def test_a_server_that_never_answers_is_given_up_and_ended(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("harness.servers.native.server._START_LIMIT_S", 0.4)
    monkeypatch.setattr("harness.servers.native.server._PROGRESS_S", 0.1)
    caplog.set_level("INFO")

    class Mute(WebRecipe):
        async def answers(self, place, pid):
            return False

    kept_log(message := failure_of(Mute(), tmp_path))
    assert message.startswith("web: gave no answer for 0 s: ")
    assert "web: starting, 0 s so far" in caplog.text


def test_a_start_that_is_cancelled_leaves_nothing_behind(tmp_path):
    class Mute(WebRecipe):
        async def answers(self, place, pid):
            pids.append(pid)
            return False

    pids = []

    async def cancelled():
        async with asyncio.timeout(0.5), running(Mute(), tmp_path):
            pytest.fail("it started")

    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())
    assert pids
    assert not psutil.pid_exists(pids[0])
    assert list(tmp_path.iterdir()) == []


def test_a_server_whose_guardian_was_killed_is_still_stopped_and_removed(tmp_path):
    async def live():
        async with running(WebRecipe(), tmp_path) as server:
            [guardian] = (p for p in children() - before if p.pid != server.endpoint.pid)
            end(guardian)
            return server.endpoint.pid

    before = children()
    pid = asyncio.run(live())
    assert not psutil.pid_exists(pid)
    assert list(tmp_path.iterdir()) == []


def test_the_guardian_is_there_before_the_folders_that_it_may_have_to_remove(tmp_path, monkeypatch):
    def script(process):
        while not (command := process.cmdline()):
            pass  # in the middle of its start
        return command[-1]

    def make(place):
        there.extend(map(script, children() - before))
        made(place)

    there, made, before = [], Place.make, children()
    monkeypatch.setattr(Place, "make", make)

    async def live():
        async with running(WebRecipe(), tmp_path):
            pass

    asyncio.run(live())
    assert [Path(script).name for script in there] == ["guardian.py"]


def test_a_preparation_that_takes_for_ever_is_given_up_and_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.servers.native.server._START_LIMIT_S", 0.3)
    message = failure_of(WebRecipe(prepare=("sleep", "300")), tmp_path)
    assert message.startswith("web: sleep did not end within 0 s: it printed nothing")
    kept_log(message)


def test_stopping_twice_and_stopping_what_never_started_is_harmless(tmp_path):
    async def live():
        server = NativeServer(WebRecipe(), scratch=tmp_path, version="1")
        await server.stop()
        await server.start()
        await server.stop()
        await server.stop()

    asyncio.run(live())
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_stop_when_asked_is_killed(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("harness.servers.native.server._STOP_LIMIT_S", 0.3)

    class Deaf(WebRecipe):
        def plan(self, place):
            plan = super().plan(place)
            return Plan(
                prepare=plan.prepare,
                serve=plan.serve,
                orderly=signal.SIGWINCH,  # ignored by default
                abandon=plan.abandon,
            )

    async def live():
        async with running(Deaf(), tmp_path) as server:
            first = server.endpoint.pid
            await server.restart()
            assert not psutil.pid_exists(first)

    asyncio.run(live())
    assert "web did not stop within 0 s: killed" in caplog.text


def test_a_server_sees_neither_the_labs_secrets_nor_its_clients_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("ESLAB_POSTGRES_DSN", "postgresql://ann:hunter2@db/shop")
    monkeypatch.setenv("PGHOST", "elsewhere")

    async def live():
        async with running(WebRecipe(), tmp_path):
            return [process.environ() for process in children() - before]

    before = children()
    environments = asyncio.run(live())
    assert len(environments) == 2
    for environment in environments:
        assert "hunter2" not in str(environment)
        assert "PGHOST" not in environment


def test_a_way_says_what_is_installed_or_what_would_make_it_ready():
    def missing():
        raise NoServer("install a Java 17")

    there = Native("web", lambda: "3.11", lambda settings: WebRecipe()).probe()
    assert (there.ready, there.version) == (True, "3.11")
    absent = Native("web", missing, lambda settings: WebRecipe()).probe()
    assert (absent.ready, absent.detail) == (False, "install a Java 17")
