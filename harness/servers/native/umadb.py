"""UmaDB as one process on a free port: the program that its Python package brings."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType

from harness.domain.errors import NoServer
from harness.domain.server import ServerSettings
from harness.domain.store import Endpoint
from harness.servers import http2
from harness.servers.local import clean_environment, free_ports, listens
from harness.servers.native.place import Place
from harness.servers.native.server import Native, Plan

_ADVICE = (
    "pip install 'eventstore-lab[umadb]': its package has the server for x86-64 and arm64, "
    "on Linux with glibc 2.34 or later and on macOS"
)
_PROGRAM = "from umadb.umadb_server_cli import main; main()"
_LIMIT_S = 10
_HOST = "127.0.0.1"
SETTINGS = ServerSettings(
    "umadb",
    MappingProxyType(
        {
            "read-method": ("fileio", "mmap"),
            "page-cache-max-pages": (),
            "page-cache-max-mb": (),
            "zero-fill-pages": ("true", "false"),
            "pipelined-writer": ("true", "false"),
            "max-blocking-threads": (),
        }
    ),
)
"""The server's options that are no address and no path, defaults first."""


def flags(settings: Mapping[str, str]) -> list[str]:
    """The options as words of a command line. Raises `BadInput` for one that is wrong."""
    SETTINGS.check(settings)
    return [f"--{name}={value}" for name, value in settings.items()]


def package_version() -> str:
    """The version of the package's server, asked of it. Raises `NoServer`."""
    if importlib.util.find_spec("umadb") is None:
        raise NoServer(_ADVICE)
    try:
        answer = subprocess.run(
            [*_command(), "--version"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
            timeout=_LIMIT_S,
            env=clean_environment(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NoServer(f"the package's server does not run here ({error}); {_ADVICE}") from None
    return (answer.stdout.split() or ["unknown"])[-1]


def _command() -> list[str]:
    """By the lab's own Python, whatever PATH finds under the program's name."""
    return [sys.executable, "-c", _PROGRAM]


class UmaRecipe:
    """An empty log that is synced at every commit: no option turns that off."""

    technology = "umadb"
    unprivileged = False
    warm_up_s = 0.0

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._flags = flags(settings)
        (self._port,) = free_ports(1)

    def plan(self, place: Place) -> Plan:
        """One process, and its file in the data folder."""
        place.data.mkdir(exist_ok=True)
        where = [f"--listen={_HOST}:{self._port}", f"--db-path={place.data}"]
        return Plan(
            prepare=[],
            serve=[*_command(), *where, *self._flags],
            orderly=signal.SIGTERM,
            abandon=signal.SIGKILL,
        )

    async def answers(self, place: Place, pid: int) -> bool:  # noqa: ARG002
        """Whether the process with this pid listens at the port and speaks HTTP/2."""
        return listens(pid, self._port) and await http2.speaks(_HOST, self._port)

    def log_bytes(self, place: Place) -> None:
        """`None`: log and indexes are one file, which is made longer far ahead."""

    def endpoint(self, place: Place) -> Endpoint:  # noqa: ARG002
        """Its one port, on the loopback interface's address."""
        return Endpoint(f"grpc://{_HOST}:{self._port}")


NATIVE = Native("umadb", package_version, UmaRecipe)
