"""However the lab ends, its PostgreSQL ends with it and nothing of it stays."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.servers import probe

READY = probe("postgres", "native")
pytestmark = pytest.mark.skipif(not READY.ready, reason=f"native postgres: {READY.detail}")

LAB = """
import asyncio, os, signal, sys
from pathlib import Path
from harness.servers import serving

async def main():
    async with serving("postgres", way="native", scratch=Path(sys.argv[1])) as server:
        print(server.endpoint.pid, flush=True)
        {ending}
        print("left in order", flush=True)

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests under nohup is deaf to it
asyncio.run(main())
"""
WAITING = "await asyncio.sleep(60)"
LIMIT_S = 10.0


class Lab:
    """A lab in a process group of its own, as a shell would start it, with one server."""

    def __init__(self, scratch, ending):
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAB.format(ending=ending), str(scratch)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self.server = psutil.Process(int(self.process.stdout.readline()))
        self.helpers = [*self.server.children(), *psutil.Process(self.process.pid).children()]
        self.shared = shared_memory([self.server])

    def end(self):
        """Its exit code and what it printed."""
        out, err = self.process.stdout.read(), self.process.stderr.read()
        return self.process.wait(30), out, err

    def leftovers(self, scratch):
        """What is still there a moment after the end."""
        deadline = time.monotonic() + LIMIT_S
        while found := self._found(scratch):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        return found

    def _found(self, scratch):
        processes = [p for p in (self.server, *self.helpers) if runs(p)]
        return [*processes, *scratch.iterdir(), *(part for part in self.shared if exists(part))]


def runs(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two
        return False


def shared_memory(processes):
    """What these processes made outside their folders: files, and System V segments by id."""
    if sys.platform != "linux":
        return []
    made = {
        segment["shmid"] for p in processes for segment in segments() if segment["cpid"] == p.pid
    }
    for process in processes:
        with contextlib.suppress(psutil.Error):
            made |= {m.path for m in process.memory_maps() if m.path.startswith("/dev/shm/")}
    return sorted(made, key=str)


def segments():
    head, *rows = Path("/proc/sysvipc/shm").read_text().splitlines()
    return [dict(zip(head.split(), map(int, row.split()), strict=True)) for row in rows]


def exists(part):
    if isinstance(part, str):
        return Path(part.removesuffix(" (deleted)")).exists()
    return part in {segment["shmid"] for segment in segments()}


@pytest.fixture
def scratch():
    """A folder that the server's account can reach, so that all of it is seen here."""
    folder = Path("/tmp") / f"eslab-ends-{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir(mode=0o755)
    yield folder
    assert list(folder.iterdir()) == []
    folder.rmdir()


@pytest.fixture
def lab(scratch):
    made = []

    def start(ending=WAITING):
        made.append(Lab(scratch, ending))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def test_at_a_normal_end(lab, scratch):
    code, out, _ = (one := lab("pass")).end()
    assert (code, out) == (0, "left in order\n")
    assert one.leftovers(scratch) == []


def test_at_an_exception(lab, scratch):
    code, out, err = (one := lab("raise RuntimeError('in mid-trial')")).end()
    assert (code, out) == (1, "")
    assert err.endswith("RuntimeError: in mid-trial\n")
    assert one.leftovers(scratch) == []


def test_at_ctrl_c_which_reaches_the_lab_and_not_its_server(lab, scratch):
    one = lab()
    assert os.getpgid(one.server.pid) != os.getpgid(one.process.pid)
    assert all(os.getsid(p.pid) != os.getsid(one.process.pid) for p in (one.server, *one.helpers))
    os.killpg(one.process.pid, signal.SIGINT)
    code, out, err = one.end()
    assert code == -signal.SIGINT
    assert out == ""
    assert err.endswith("KeyboardInterrupt\n")
    assert one.leftovers(scratch) == []


def test_at_ctrl_c_pressed_many_times(lab, scratch):
    one = lab()
    for _ in range(10):
        os.killpg(one.process.pid, signal.SIGINT)
        time.sleep(0.01)
    one.end()
    assert one.leftovers(scratch) == []


KILL_ITSELF = "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize(
    ("state", "number"),
    [
        ("pass", signal.SIGTERM),
        ("await server.pause()", signal.SIGHUP),
        ("await server.kill()", signal.SIGKILL),
        (f"await server.kill(); await server.restart(); {KILL_ITSELF}", signal.SIGKILL),
        ("await server.restart(cold=True)", signal.SIGKILL),
    ],
)
def test_at_a_signal_that_ends_the_lab_at_once_whatever_state_the_server_is_in(
    lab, scratch, state, number
):
    one = lab(f"{state}; print('there', flush=True); {WAITING}")
    one.process.stdout.readline()
    with contextlib.suppress(ProcessLookupError):  # it killed itself
        os.killpg(one.process.pid, number)
    code, out, err = one.end()
    assert (code, out, err) == (-number, "", "")
    assert one.leftovers(scratch) == []


def test_at_a_kill_while_a_client_keeps_the_server_busy(lab, scratch):
    busy = """
        import asyncpg
        connection = await asyncpg.connect(server.endpoint.address)
        asyncio.get_running_loop().call_later(0.3, os.kill, os.getpid(), signal.SIGKILL)
        await connection.execute("select count(*) from generate_series(1, 1e9)")
    """
    one = lab(busy.strip())
    assert one.end()[0] == -signal.SIGKILL
    assert one.leftovers(scratch) == []


@pytest.mark.parametrize(
    ("number", "begun"),
    [
        (signal.SIGINT, "*"),
        (signal.SIGKILL, "*"),
        (signal.SIGINT, "*/data/PG_VERSION"),
        (signal.SIGKILL, "*/data/global"),
        (signal.SIGINT, "*/data/postmaster.pid"),
        (signal.SIGKILL, "*/data/postmaster.pid"),
    ],
)
def test_at_an_end_during_the_start(scratch, number, begun):
    """As soon as there is a folder, while `initdb` fills it, and while the server starts."""
    lab = subprocess.Popen(
        [sys.executable, "-c", LAB.format(ending=WAITING), str(scratch)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not any(scratch.glob(begun)):
        time.sleep(0.002)
    family = psutil.Process(lab.pid).children(recursive=True)
    shared = shared_memory(family)
    lab.send_signal(number)
    lab.wait(30)
    deadline = time.monotonic() + LIMIT_S
    while any(map(runs, family)) or any(scratch.iterdir()) or any(map(exists, shared)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
