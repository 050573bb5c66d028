"""The `Server` protocol: a running server, whatever provides it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from harness.domain.errors import BadInput, LabError
from harness.domain.faults import FaultKind
from harness.domain.store import Endpoint


class UnsupportedByServer(LabError):
    """This server cannot do that: the lab does not control it, or its system cannot."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Statistics:
    """Use of a server's whole process tree or cgroup. `None` means not available, never zero."""

    cpu_s: float | None
    memory_bytes: int | None
    disk_bytes: int | None
    log_bytes: int | None = None
    """Size of the log that is the store (Kafka), where its files show it. Not a write-ahead log."""
    began_s: float | None = None
    """When its first process started, since the epoch; `None` when that has ended too."""


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Where a server keeps its data."""

    path: Path
    """Its name in the server's own view."""
    mounts: str = ""
    """The mount table of that view, as `/proc/self/mountinfo` has it; empty for this machine's."""
    reachable: Path | None = None
    """The same folder as the lab may write to it; `None` where it cannot."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether one way to get a server of one technology is open."""

    technology: str
    way: str
    ready: bool
    detail: str
    """Where the server would come from, or one line with the step that would make it available."""
    version: str = ""
    named: bool = False
    """The user has named a server of this kind: `auto` uses it, whether it answers or not."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings of a technology's server that a scenario may declare; there are no others.

    They are what people change for speed: memory, the log, checkpoints, flushing and syncing,
    partitions, threads, the planner. None names a file, a command, a library, an address or a
    user, so that a scenario from somebody else cannot reach past its server.
    """

    technology: str
    values: Mapping[str, tuple[str, ...]]
    """By name, what it may be set to; nothing where the server itself judges the value."""

    def fault(self, name: str, value: str) -> str:
        """What is wrong with a setting; empty if nothing is."""
        if name not in self.values:
            return f"{name!r} is not a setting that a scenario may declare"
        if not value.isprintable():
            return f"{name}: {value!r} does not fit on one line"
        allowed = self.values[name]
        if allowed and value not in allowed:
            return f"{name}: {value!r} is none of {', '.join(allowed)}"
        return ""

    def check(self, settings: Mapping[str, str]) -> None:
        """Raises `BadInput` for the first setting that is wrong."""
        for fault in (self.fault(name, value) for name, value in settings.items()):
            if fault:
                raise BadInput(f"{self.technology}: {fault}")


def judged_by_the_server(names: str) -> Mapping[str, tuple[str, ...]]:
    """Names without values of their own, for `ServerSettings`."""
    return MappingProxyType(dict.fromkeys(names.split(), ()))


class ServerProvider(Protocol):
    """One way to get a server of one technology."""

    def probe(self) -> Availability:
        """Cheap, starts nothing. Raises `BadInput` where the user's own setting is wrong."""
        ...

    def server(
        self, *, scratch: Path, settings: Mapping[str, str], on_lab_disk: bool = False
    ) -> Server:
        """A server, not started. Raises `NoServer` or `BadInput` where none is available.

        `on_lab_disk` asks for a disk of the lab's own for its data, which can lose power and fill
        up. Where it cannot have one, the server starts as ever and its `why_not` says why.
        """
        ...


@runtime_checkable
class UsedByProcesses(Protocol):
    """Of a server that stands for a library: its processes are those that use it."""

    def used_by(self, pid: int) -> None:
        """From now on, what ends the server ends this process of the lab."""
        ...


class Server(Protocol):
    """A server that the lab uses and, where `controllable`, restarts, kills and pauses."""

    technology: str
    controllable: bool
    """False for external servers: restart, kill and pause raise `UnsupportedByServer`."""
    warm_up_s: float
    """How long it needs load after its start to reach its full speed."""

    @property
    def endpoint(self) -> Endpoint:
        """Its current address, also after a restart."""
        ...

    async def data_folder(self) -> DataFolder | None:
        """Where it keeps its data; `None` where the lab cannot see that."""
        ...

    async def start(self) -> None:
        """Start it and wait until it answers. Raises `NoServer` with its last log lines."""
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

    def why_not(self, kind: FaultKind) -> str:
        """One line: why it cannot have this fault of a server or a disk; empty if it can."""
        ...

    async def lose_power(self) -> None:
        """Its disk loses what was not flushed, and every process is killed; then `restart` it.

        Raises `UnsupportedByServer` where `why_not` says so, as `fill_disk` does.
        """
        ...

    async def fill_disk(self) -> None:
        """Leave no room on the file system of its data."""
        ...

    async def free_disk(self) -> None:
        """Give the room back."""
        ...

    async def pin(self, cores: frozenset[int]) -> None:
        """Keep it on these cores until it is stopped. Raises `UnsupportedByServer`."""
        ...

    def statistics(self) -> Statistics:
        """CPU, memory and disk so far."""
        ...
