"""Commands of the lab in processes of their own, forked from one that has imported the lab.

`eslab` takes a second to import what it needs, and the tests call it hundreds of times. A command
runs here as `python -m harness` does, with streams, signals, exit code and process of its own.
"""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

PACKAGES = ("harness.cli", "harness.run", "harness.render", "harness.analysis", "harness.stores")
REQUEST_MAX = 1 << 20


class WarmCommands:
    """Starts the process that forks; it ends with this one, whose end of the pipe closes."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.environment = dict(os.environ)
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()], cwd=Path(__file__).parents[1], stdin=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        self._lock = threading.Lock()

    def run(
        self, arguments: Sequence[str], cwd: Path, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` with captured text. Raises `TimeoutExpired`."""
        out, err, status = os.pipe(), os.pipe(), os.pipe()
        request = "\0".join([str(cwd), *arguments]).encode("utf-8", "surrogateescape")
        with self._lock:
            socket.send_fds(self._ours, [request], [out[1], err[1], status[1]])
        for each in (out, err, status):
            os.close(each[1])
        texts = ["", ""]
        readers = [
            threading.Thread(target=_read, args=(end[0], texts, number), daemon=True)
            for number, end in enumerate((out, err))
        ]
        for reader in readers:
            reader.start()
        with os.fdopen(status[0]) as told:
            pid = int(told.readline())
            timer = threading.Timer(timeout_s, _kill, [pid])
            timer.start()
            code = int(told.readline())
            late = not timer.is_alive()
            timer.cancel()
        for reader in readers:
            reader.join()
        if late and code == -signal.SIGKILL:
            raise subprocess.TimeoutExpired(list(arguments), timeout_s, *texts)
        return subprocess.CompletedProcess(list(arguments), code, *texts)


def _read(end: int, texts: list[str], number: int) -> None:
    with os.fdopen(end, encoding="utf-8") as stream:
        texts[number] = stream.read()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@cache
def warm_commands() -> WarmCommands:
    """The one of this test process."""
    return WarmCommands()


def can_be_warm(env: Mapping[str, str] | None) -> bool:
    """Whether a command sees the variables that the lab was imported with."""
    return env is None and dict(os.environ) | _OF_A_TEST == warm_commands().environment | _OF_A_TEST


_OF_A_TEST = {"PYTEST_CURRENT_TEST": ""}


def serve(requests: socket.socket) -> None:
    """Fork for each request until nobody can ask any more. Returns in the forked process alone."""
    for package in PACKAGES:
        found = importlib.import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            importlib.import_module(module.name)
    gc.freeze()  # a collection would touch, and so copy, every page of the modules
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that forked commands are not waited for
    while True:
        request, ends, _, _ = socket.recv_fds(requests, REQUEST_MAX, 3)
        if not request:
            os._exit(0)
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            out, err, status = ends
            pid = os.fork()
            if pid == 0:
                os.close(status)
                _become(request, out, err)
                return
            os.close(out)
            os.close(err)
            os.write(status, b"%d\n" % pid)
            _, ended = os.waitpid(pid, 0)
            os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ended))
            os._exit(0)
        for end in ends:
            os.close(end)


def _become(request: bytes, out: int, err: int) -> None:
    cwd, *sys.argv[1:] = request.decode("utf-8", "surrogateescape").split("\0")
    os.chdir(cwd)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("harness", run_name="__main__", alter_sys=True)
