"""Any server as local processes of the lab, which starts, kills, pauses and removes them."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from harness.domain.errors import NoServer
from harness.domain.faults import FaultKind
from harness.domain.server import (
    Availability,
    DataFolder,
    Server,
    Statistics,
    UnsupportedByServer,
)
from harness.domain.store import Endpoint
from harness.servers.local import Child, disk_bytes, drop_from_page_cache
from harness.servers.native import guardian, tree
from harness.servers.native.disk import DiskFault, LabDisk, lab_disk_hindrance
from harness.servers.native.guard import Guard, keep, require_guardian, telling_line
from harness.servers.native.place import (
    Place,
    choose_place,
    expected_account,
    home_root,
    unprivileged,
)

Command = Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The commands of one server in one place, and the signals that its root process knows."""

    prepare: Sequence[Command]
    """Commands that make an empty data folder; run once, in this order."""
    serve: Command
    """The command of the server itself, in the foreground."""
    tidy: Command = ()
    """Removes what a killed server leaves outside its folders; harmless after any other end."""
    orderly: signal.Signals
    """Asks for a stop that leaves the data clean."""
    abandon: signal.Signals
    """Asks for an end at once, when the data is about to be removed."""


class Recipe(Protocol):
    """How to run one server with its settings. One file per technology: `postgres.py` and so on."""

    technology: str
    unprivileged: bool
    """It refuses to run as root, so it needs an account of its own there."""
    warm_up_s: float
    """How long a fresh one needs load before it runs at its speed: a JVM compiles as it goes."""

    def plan(self, place: Place) -> Plan:
        """How it runs there. Called once, when the folders exist; may write files into them."""
        ...

    async def answers(self, place: Place, pid: int) -> bool:
        """Whether the server that runs as `pid` accepts clients yet."""
        ...

    def log_bytes(self, place: Place) -> int | None:
        """Size of the log that is the store, from its files; `None` if the store is no log."""
        ...

    def endpoint(self, place: Place) -> Endpoint:
        """Where clients connect."""
        ...


T = TypeVar("T")

OWN_PROCESSES = "processes of the lab's own"
_LOG = logging.getLogger(__name__)
_START_LIMIT_S = 120.0
_STOP_LIMIT_S = 60.0
_POLL_S = 0.005
_POLL_SHARE = 0.02
"""Of the time waited so far: what starts for seconds is not asked hundreds of times meanwhile."""
_PROGRESS_S = 2.0


@dataclass(frozen=True, slots=True)
class Native:
    """The way `native` of one technology: what is installed, and how it is run."""

    technology: str
    installed: Callable[[], str]
    """The version that would run. Raises `NoServer` with the step that would make it ready."""
    recipe: Callable[[Mapping[str, str]], Recipe]
    describe: Callable[[], str] = lambda: OWN_PROCESSES
    """Where the server comes from, once `installed` has returned its version."""

    def probe(self) -> Availability:
        """Whether the binaries are installed and run, and a guardian can."""
        try:
            require_guardian()
            version = self.installed()
        except NoServer as error:
            return Availability(self.technology, "native", ready=False, detail=str(error))
        detail = self.describe()
        return Availability(self.technology, "native", ready=True, detail=detail, version=version)

    def home_root(self, scratch: Path) -> Path:
        """Under which folder its data would lie. Makes nothing. Raises `OSError`."""
        return home_root(scratch, expected_account() if self.recipe({}).unprivileged else None)

    def server(
        self, *, scratch: Path, settings: Mapping[str, str], on_lab_disk: bool = False
    ) -> Server:
        """A server of the lab's own under `scratch`, with these settings."""
        return NativeServer(
            self.recipe(settings),
            scratch=scratch,
            version=self.installed(),
            on_lab_disk=on_lab_disk,
        )


class NativeServer:
    """One recipe's process tree and folders; a guardian removes both if the lab ends."""

    controllable = True

    def __init__(
        self, recipe: Recipe, *, scratch: Path, version: str, on_lab_disk: bool = False
    ) -> None:
        self.technology, self.warm_up_s = recipe.technology, recipe.warm_up_s
        self._recipe, self._scratch, self._version = recipe, scratch, version
        self._no_disk = "its data is not on a disk of the lab's own"
        self._asked_for_disk = on_lab_disk
        self._disk: LabDisk | None = None
        self._place: Place | None = None
        self._guard: Guard | None = None
        self._plan: Plan | None = None
        self._child: Child | None = None
        self._cores: frozenset[int] | None = None
        self._ended_cpu_s = 0.0
        self._tree_cpu_s = 0.0

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers, with the pid of its root process."""
        place, child = _started(self._place), _started(self._child)
        endpoint = self._recipe.endpoint(place)
        return replace(endpoint, provider="native", version=self._version, pid=child.pid)

    async def data_folder(self) -> DataFolder:
        """In its own place, with this machine's names."""
        folder = _started(self._place).data
        return DataFolder(folder, reachable=folder)

    async def start(self) -> None:
        """Prepare an empty data folder, start the server on it and wait until it answers."""
        account = unprivileged() if self._recipe.unprivileged else None
        on_lab_disk = self._asked_for_disk and not await self._disk_hindered()
        try:
            chosen = choose_place(self.technology, scratch=self._scratch, account=account)
            self._place = replace(chosen, on_lab_disk=on_lab_disk)
            self._guard = Guard(self._place.folders, self._place.account)
            self._place.make()
            if on_lab_disk:
                self._disk = LabDisk(self._place.image, self._place.mount, account)
                await asyncio.to_thread(self._disk.make)
            self._plan = self._recipe.plan(self._place)
        except DiskFault as error:
            raise NoServer(f"{self.technology}: its disk cannot be made: {error}") from None
        except OSError as error:
            raise NoServer(f"{self.technology}: cannot be set up: {error}") from None
        if not self._place.home.is_relative_to(self._scratch.resolve()):
            moved = f"its account cannot enter the run's folder; its data is in {self._place.home}"
            _LOG.info("%s: %s", self.technology, moved)
        for command in self._plan.prepare:
            await self._prepare(command)
        self._guard.tidy_with(self._plan.tidy)
        await self._launch()
        if self._disk is not None:
            await asyncio.to_thread(self._disk.settle)

    async def stop(self) -> None:
        """End the server at once and remove its folders with their data."""
        guard, self._guard = self._guard, None
        if guard is not None:
            await guard.finish()
        # Then nothing remains to do, unless the guardian was killed before.
        if self._child is not None and self._child.poll() is None:
            await self.kill()
        for folder in self._place.folders if self._place else ():
            guardian.unmount(str(folder.resolve()))
            shutil.rmtree(folder, ignore_errors=True)

    async def restart(self, *, cold: bool = False) -> None:
        """Stop the server cleanly if it still runs, and start it on the same data."""
        await self._stop_orderly()
        if cold:
            await asyncio.to_thread(drop_from_page_cache, _started(self._place).data)
        await self._launch()

    async def kill(self) -> None:
        """SIGKILL the whole process tree and wait until it has ended."""
        self._look()
        child = _started(self._child)
        await tree.kill(child.root)
        await _exit_code(child, limit_s=_STOP_LIMIT_S)

    async def pause(self) -> None:
        """SIGSTOP the whole process tree, and wait until it stands still."""
        await tree.still(tree.pause(_started(self._child).root))

    async def resume(self) -> None:
        """SIGCONT the whole process tree."""
        tree.resume(_started(self._child).root)

    def why_not(self, kind: FaultKind) -> str:
        """A fault of the disk needs a disk of the lab's own."""
        return self._no_disk if kind.of_the_disk and self._disk is None else ""

    async def lose_power(self) -> None:
        """Everything stands still, the disk loses what was not flushed, everything is killed.

        Nothing runs while the disk is dead: no machine without power sees errors of its disk.
        """
        disk = self._own_disk(FaultKind.LOSE_POWER)
        self._look()
        tree.pause(_started(self._child).root)
        disk.cut_power()
        await self.kill()
        await asyncio.to_thread(disk.bring_back)

    async def fill_disk(self) -> None:
        """Allocate what is left of its disk."""
        await asyncio.to_thread(self._own_disk(FaultKind.FILL_DISK).fill)

    async def free_disk(self) -> None:
        """Give the room back; a server that has ended starts again by `restart`."""
        await asyncio.to_thread(self._own_disk(FaultKind.FILL_DISK).free)

    def _own_disk(self, kind: FaultKind) -> LabDisk:
        if self._disk is None:
            raise UnsupportedByServer(f"{self.technology}: no {kind}: {self.why_not(kind)}")
        return self._disk

    async def _disk_hindered(self) -> str:
        hindrance = await asyncio.to_thread(lab_disk_hindrance)
        self._no_disk = hindrance or self._no_disk
        return hindrance

    async def pin(self, cores: frozenset[int]) -> None:
        """Keep its threads on these cores, after a restart too."""
        self._cores = cores
        tree.pin(_started(self._child).root, cores)

    def statistics(self) -> Statistics:
        """CPU over all restarts, memory now, bytes in the data folder. Takes about 15 ms."""
        usage = self._look()
        return Statistics(
            cpu_s=self._ended_cpu_s + self._tree_cpu_s,
            memory_bytes=usage.memory_bytes if usage else 0,
            disk_bytes=disk_bytes(_started(self._place).data),
            log_bytes=self._recipe.log_bytes(_started(self._place)),
            began_s=_started(self._child).root.create_time() if usage else None,
        )

    def _look(self) -> tree.Usage | None:
        child = _started(self._child)
        usage = tree.usage(child.root) if child.poll() is None else None
        if usage:
            # A child that ends between the look at its parent and at itself is missed: a tree's
            # CPU is never taken back.
            self._tree_cpu_s = max(self._tree_cpu_s, usage.cpu_s)
        return usage

    async def _prepare(self, command: Command) -> None:
        child = self._spawn(command, signal.SIGTERM)
        code = await _exit_code(child, limit_s=_START_LIMIT_S)
        if code != 0:
            what = f"did not end within {_START_LIMIT_S:.0f} s" if code is None else "failed"
            raise self._failure(f"{Path(command[0]).name} {what}")

    async def _launch(self) -> None:
        plan = _started(self._plan)
        self._ended_cpu_s, self._tree_cpu_s = self._ended_cpu_s + self._tree_cpu_s, 0.0
        child = self._spawn(plan.serve, plan.abandon)
        if self._cores:  # a restart begins on those of the generator, whose child it is
            tree.pin(child.root, self._cores)
        began = time.monotonic()
        told_s = 0.0
        while not await self._recipe.answers(_started(self._place), child.pid):
            waited_s = time.monotonic() - began
            if child.poll() is not None:
                raise self._failure("did not start")
            if waited_s > _START_LIMIT_S:
                raise self._failure(f"gave no answer for {_START_LIMIT_S:.0f} s")
            if waited_s > told_s + _PROGRESS_S:
                told_s = waited_s
                _LOG.info("%s: starting, %.0f s so far", self.technology, waited_s)
            await asyncio.sleep(max(_POLL_S, waited_s * _POLL_SHARE))
        if self._cores:
            tree.pin(child.root, self._cores)

    async def _stop_orderly(self) -> None:
        self._look()
        child = _started(self._child)
        family = tree.members(child.root)
        tree.send(family, signal.SIGCONT)  # a paused server handles no signal until it continues
        tree.send(family[:1], _started(self._plan).orderly)
        if not await tree.gone(family, limit_s=_STOP_LIMIT_S):
            _LOG.warning("%s did not stop within %.0f s: killed", self.technology, _STOP_LIMIT_S)
            await tree.kill(child.root)
        await _exit_code(child, limit_s=_STOP_LIMIT_S)

    def _spawn(self, command: Command, ending: signal.Signals) -> Child:
        try:
            self._child = Child(command, _started(self._place))
        except OSError as error:
            raise NoServer(f"{self.technology}: {error}") from None
        _started(self._guard).watch(self._child.pid, ending)
        return self._child

    def _failure(self, what: str) -> NoServer:
        log = _started(self._place).log
        why = telling_line(log) or "it printed nothing"
        kept = keep(log, self.technology)
        return NoServer(f"{self.technology}: {what}: {why}" + (f" (log: {kept})" if kept else ""))


async def _exit_code(child: Child, *, limit_s: float) -> int | None:
    """Wait for a child's end; `None` if it still runs after `limit_s`.

    Only its exit code shows the end: a JVM's first thread is a zombie while others still run.
    """
    deadline = time.monotonic() + limit_s
    while True:
        code = child.poll()
        if code is not None or time.monotonic() > deadline:
            return code
        await asyncio.sleep(_POLL_S)


def _started(part: T | None) -> T:
    assert part is not None, "the server was not started"
    return part
