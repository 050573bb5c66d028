"""Free ports for servers, outside the range that the system gives to clients."""

from __future__ import annotations

import os
import random
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from harness.domain.errors import NoServer
from harness.domain.server import UnsupportedByServer
from harness.servers.native.place import Place

_HOST = "127.0.0.1"
_RANGE = range(20_000, 32_768)
"""Below the ports that systems give to outgoing connections, and above well-known ones."""
_TRIES = 200


def free_ports(count: int) -> list[int]:
    """Free ports of the loopback interface. Raises `NoServer`."""
    ports: list[int] = []
    for port in random.sample(_RANGE, _TRIES):
        if _is_free(port):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise NoServer(f"no free port on {_HOST} from {_RANGE.start} to {_RANGE.stop - 1}")


def _is_free(port: int) -> bool:
    try:
        socket.create_server((_HOST, port)).close()
    except OSError:
        return False
    return True


def listens(pid: int, port: int) -> bool:
    """Whether the process listens at a TCP port."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)


_BLOCK_BYTES = 512


def disk_bytes(folder: Path) -> int:
    """Bytes that the files below `folder` occupy; files that vanish meanwhile count as none."""
    return sum(_occupied_bytes(entry) for entry in _files(folder))


def lengths(folder: Path) -> Iterator[tuple[str, int]]:
    """Path and length of each file below `folder` that does not vanish meanwhile."""
    for entry in _files(folder):
        with suppress(FileNotFoundError):
            yield entry.path, entry.stat(follow_symlinks=False).st_size


def drop_from_page_cache(folder: Path) -> None:
    """Make the next read of every file below `folder` go to the disk.

    Raises `UnsupportedByServer` where the system has no `posix_fadvise`.
    """
    if not hasattr(os, "posix_fadvise"):
        raise UnsupportedByServer("a cold restart needs posix_fadvise, which this system lacks")
    for entry in _files(folder):
        handle = os.open(entry.path, os.O_RDONLY)
        try:
            # Only clean pages can be dropped, so dirty ones are written first.
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def _occupied_bytes(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
    except OSError:
        return 0


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:  # gone, or on a disk that is without power
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield entry


class Child:
    """A command that a place's account runs in the place, printing to its log.

    It leads a session of its own: ctrl-C is for the lab, which then stops it in order.
    Raises `OSError` where it can't be run.
    """

    def __init__(self, command: Sequence[str], place: Place) -> None:
        account = place.account
        with place.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=place.working,
                env=clean_environment() | {"TMPDIR": str(place.temporary)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        self.pid = self._process.pid
        self.root = psutil.Process(self.pid)
        """The process by pid and birth, so that a later one with the same pid is not meant."""

    def poll(self) -> int | None:
        """Its exit code, or `None` while it runs. Reaps it."""
        return self._process.poll()


_CHANGING = ("PG", "ESLAB_", "EVENTSTORE_", "KURRENTDB_", "UMADB_")


def clean_environment() -> dict[str, str]:
    """The lab's environment, less variables that change a server (`PGHOST`) or hold a password."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_CHANGING)}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
