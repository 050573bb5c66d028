"""Commands of the lab in processes of their own, forked from one that has imported the lab.

`eslab` takes a second to import what it needs, and the tests call it hundreds of times. A command
runs here as `python -m harness` does, with streams, signals, exit code and process of its own.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import pkgutil
import re
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

PACKAGES = ("harness.cli", "harness.run", "harness.render", "harness.analysis", "harness.stores")
REQUEST_MAX = 1 << 20
CLIENT = Path(__file__).with_name("warm_client.py")


class WarmCommands:
    """Starts the process that forks; it ends with this one, whose end of the pipe closes.

    Whoever knows its door, a socket, gets a command: this process, and the client for a shell.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="eslab-warm-")
        self._door = str(Path(self._folder.name, "door"))
        self._environment = dict(os.environ)
        theirs, self._ours = os.pipe()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(self._door)
            listening.listen()
            ends = [listening.fileno(), theirs]
            self._server = subprocess.Popen(
                [sys.executable, "-m", __name__, *map(str, ends)],
                pass_fds=ends, cwd=Path(__file__).parents[1], stdin=subprocess.DEVNULL,
            )  # fmt: skip
        os.close(theirs)

    @property
    def words(self) -> list[str]:
        """A command that does in a shell what `eslab` does, and with the shell's variables.

        It ends as `eslab` does, but a signal to it is not passed on.
        """
        return [sys.executable, "-I", "-S", str(CLIENT), self._door]

    def can_have(self, env: Mapping[str, str]) -> bool:
        """Whether the command would see these variables as if it had started with them."""
        names = self._environment.keys() | env.keys()
        others = [name for name in names if self._environment.get(name) != env.get(name)]
        folders = env.get("PYTHONPATH", "").split(os.pathsep)
        customized = any(Path(each, "sitecustomize.py").exists() for each in folders if each)
        return not customized and not any(map(_READ_AT_START.match, others))

    def run(
        self, arguments: Sequence[str], cwd: Path, timeout_s: float, env: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` with captured text. Raises `TimeoutExpired`."""
        out, err = os.pipe(), os.pipe()
        variables = [f"{name}={value}" for name, value in env.items()]
        request = "\0".join([str(cwd), str(len(arguments)), *arguments, *variables])
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as told:
            told.connect(self._door)
            with Path(os.devnull).open() as nothing:
                ends = [nothing.fileno(), out[1], err[1]]
                socket.send_fds(told, [os.fsencode(request)], ends)
            for each in (out, err):
                os.close(each[1])
            texts = ["", ""]
            readers = [
                threading.Thread(target=_read, args=(end[0], texts, number), daemon=True)
                for number, end in enumerate((out, err))
            ]
            for reader in readers:
                reader.start()
            pid = int(told.recv(REQUEST_MAX))
            timer = threading.Timer(timeout_s, _kill, [pid])
            timer.start()
            code = int(told.recv(REQUEST_MAX))
            late = not timer.is_alive()
            timer.cancel()
        for reader in readers:
            reader.join()
        if late and code == -signal.SIGKILL:
            raise subprocess.TimeoutExpired(list(arguments), timeout_s, *texts)
        return subprocess.CompletedProcess(list(arguments), code, *texts)


_READ_AT_START = re.compile(r"PYTHON(?!PATH$)|LC_|LANG|TERM$|.*COLOR|GITHUB_ACTIONS")
"""By Python itself, or by a module as soon as it is imported."""


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


def serve(listening: socket.socket, asker: int) -> None:
    """Fork for each request until nobody can ask any more. Returns in the forked process alone."""
    for package in PACKAGES:
        found = importlib.import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            importlib.import_module(module.name)
    gc.freeze()  # a collection would touch, and so copy, every page of the modules
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that forked commands are not waited for
    while True:
        ready, _, _ = select.select([listening, asker], [], [])
        if asker in ready:
            os._exit(0)
        connection, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            os.close(asker)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            request, ends, _, _ = socket.recv_fds(connection, REQUEST_MAX, 3)
            pid = os.fork()
            if pid == 0:
                connection.close()
                _become(request, ends)
                return
            for end in ends:
                os.close(end)
            connection.send(b"%d" % pid)
            _, ended = os.waitpid(pid, 0)
            connection.send(b"%d" % os.waitstatus_to_exitcode(ended))
            os._exit(0)
        connection.close()


def _become(request: bytes, ends: Sequence[int]) -> None:
    cwd, count, *rest = os.fsdecode(request).split("\0")
    sys.argv[1:], variables = rest[: int(count)], rest[int(count) :]
    os.environ.clear()
    os.environ.update(each.split("=", 1) for each in variables)
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[1:1] = [each for each in added if each and each not in sys.path]
    tempfile.tempdir = None
    os.chdir(cwd)
    for number, end in enumerate(ends):
        os.dup2(end, number)
        os.close(end)


def _end(code: object) -> None:
    """As Python ends, garbage and exit functions included, but without freeing all that lives.

    That would touch, and so copy, every page of the modules, and take longer than most commands.
    Returns where Python has more to say at the end.
    """
    if isinstance(code, int | None):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        gc.collect()
        with suppress(OSError, ValueError):
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit((code or 0) & 0xFF)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
    try:
        runpy.run_module("harness", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        _end(ended.code)
        raise
