"""What a running server is to the lab, wherever it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.errors import LabError
from harness.store import Endpoint


class UnsupportedByServer(LabError):
    """This server cannot be asked for that: it is not the lab's own, or its system cannot do it."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of a server's whole process tree or cgroup. `None` is "cannot be had", never zero."""

    cpu_s: float | None
    memory_bytes: int | None
    disk_bytes: int | None
    log_bytes: int | None = None
    """Of the log that the store is, where its files show it. No write-ahead log."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether one way to get a server of one technology is open."""

    technology: str
    way: str
    ready: bool
    detail: str
    """Where it would come from, or in one line what would make it ready."""
    version: str = ""
    named: bool = False
    """The user named a server of this kind: `auto` stays with it, whether it answers or not."""


class Way(Protocol):
    """One way to get a server of one technology. A row of the table in `table.py`."""

    def probe(self) -> Availability:
        """Cheap, starts nothing. Raises `BadInput` where what the user wrote is wrong."""
        ...

    def server(self, *, scratch: Path, settings: Mapping[str, str]) -> Server:
        """A server, not started. Raises `NoServer` or `BadInput` where none can be had."""
        ...


class Server(Protocol):
    """A server that the lab may use, and, where `controllable`, may hurt."""

    technology: str
    controllable: bool
    """False for external servers: restart, kill and pause raise `UnsupportedByServer`."""
    warm_up_s: float
    """How long it needs load after its start before it runs at its speed."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers; current after a restart."""
        ...

    async def start(self) -> None:
        """Start and wait until it answers. Raises `NoServer` with its last log lines."""
        ...

    async def stop(self) -> None:
        """Stop and remove everything that `start` made. Safe to call twice."""
        ...

    async def restart(self, *, cold: bool = False) -> None:
        """Stop in an orderly way and start on the same data; `cold` also drops its page cache."""
        ...

    async def kill(self) -> None:
        """SIGKILL the whole process tree; `restart` brings it back on the same data."""
        ...

    async def pause(self) -> None:
        """SIGSTOP the whole process tree."""
        ...

    async def resume(self) -> None:
        """SIGCONT the whole process tree."""
        ...

    async def pin(self, cores: frozenset[int]) -> None:
        """Keep it on these cores until it is stopped. Raises `UnsupportedByServer`."""
        ...

    def statistics(self) -> Statistics:
        """CPU, memory and disk so far."""
        ...
