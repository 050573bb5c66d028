"""A server as local processes of the lab: started, hurt and removed by it, whatever it runs."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from harness.errors import NoServer
from harness.servers import tree
from harness.servers.account import unprivileged
from harness.servers.files import disk_bytes, drop_from_page_cache
from harness.servers.guard import Guard
from harness.servers.logs import keep, telling_line
from harness.servers.place import Place, choose_place
from harness.servers.protocol import Availability, Server, Statistics
from harness.servers.recipe import Command, Plan, Recipe
from harness.servers.spawn import Child
from harness.store import Endpoint

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_START_LIMIT_S = 120.0
_STOP_LIMIT_S = 60.0
_POLL_S = 0.005
_PROGRESS_S = 2.0


@dataclass(frozen=True, slots=True)
class Native:
    """The way `native` of one technology: what is installed, and how it is run."""

    technology: str
    installed: Callable[[], str]
    """The version that would run; raises `NoServer` with what would make it ready."""
    recipe: Callable[[Mapping[str, str]], Recipe]

    def probe(self) -> Availability:
        """Whether the binaries are here and run."""
        try:
            version = self.installed()
        except NoServer as error:
            return Availability(self.technology, "native", ready=False, detail=str(error))
        detail = "processes of the lab's own"
        return Availability(self.technology, "native", ready=True, detail=detail, version=version)

    def server(self, *, scratch: Path, settings: Mapping[str, str]) -> Server:
        """A server of the lab's own under `scratch`, with these settings."""
        return NativeServer(self.recipe(settings), scratch=scratch, version=self.installed())


class NativeServer:
    """One recipe's process tree and folders, with a guardian over both."""

    controllable = True

    def __init__(self, recipe: Recipe, *, scratch: Path, version: str) -> None:
        self.technology, self.warm_up_s = recipe.technology, recipe.warm_up_s
        self._recipe, self._scratch, self._version = recipe, scratch, version
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

    async def start(self) -> None:
        """Prepare an empty data folder, start the server on it and wait until it answers."""
        account = unprivileged() if self._recipe.unprivileged else None
        try:
            self._place = choose_place(self.technology, scratch=self._scratch, account=account)
            self._guard = Guard(self._place)
            self._place.make()
            self._plan = self._recipe.plan(self._place)
        except OSError as error:
            raise NoServer(f"{self.technology}: cannot be set up: {error}") from None
        for command in self._plan.prepare:
            await self._prepare(command)
        self._guard.tidy_with(self._plan.tidy)
        await self._launch()

    async def stop(self) -> None:
        """End the server at once and remove its folders: its data is of no more use."""
        guard, self._guard = self._guard, None
        if guard is not None:
            await guard.finish()
        # Nothing is left to do then, unless the guardian was killed before.
        if self._child is not None and self._child.poll() is None:
            await self.kill()
        for folder in self._place.folders if self._place else ():
            shutil.rmtree(folder, ignore_errors=True)

    async def restart(self, *, cold: bool = False) -> None:
        """Stop in an orderly way what still runs, and start on the same data."""
        await self._stop_orderly()
        if cold:
            await asyncio.to_thread(drop_from_page_cache, _started(self._place).data)
        await self._launch()

    async def kill(self) -> None:
        """SIGKILL the whole process tree and wait until it has gone."""
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
            await asyncio.sleep(_POLL_S)
        if self._cores:
            tree.pin(child.root, self._cores)

    async def _stop_orderly(self) -> None:
        self._look()
        child = _started(self._child)
        family = tree.members(child.root)
        tree.send(family, signal.SIGCONT)  # a paused server hears nothing until it goes on
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

    Its exit code alone tells: a JVM's first thread is a zombie while its others still end.
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
