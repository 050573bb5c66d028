"""A crew of worker processes on this machine: spawned, told their steps through pipes.

Only steps and their small results go through the pipes; rows go to disk where they are made.
"""

from __future__ import annotations

import asyncio
import copyreg
import multiprocessing
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import MappingProxyType
from typing import Any

import psutil

from harness.generator.conducting import Step, T
from harness.generator.files import TrialFiles
from harness.generator.process import FAILED, TICK, Post, main
from harness.generator.progress import Snapshot, Watcher
from harness.generator.shard import Shard

LEAD_NS = 20_000_000
"""From the word to start until the start: pipes to a few processes take a millisecond."""
FAREWELL_S = 5.0
"""A process that was hung up on has this long to leave before it is killed."""


def _frozen(content: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(content)


copyreg.pickle(MappingProxyType, lambda mapping: (_frozen, (dict(mapping),)))


class WorkerDied(Exception):
    """A worker process ended by itself; the message holds its last words."""


@dataclass(slots=True)
class _Colleague:
    """One process, and the answer that is waited for."""

    shard: Shard
    post: Post
    process: SpawnProcess
    connection: Connection
    crew: Processes
    answer: asyncio.Future[Any] | None = None
    snapshot: Snapshot | None = None
    died: WorkerDied | None = None

    async def take(self, step: Step[Any] | None) -> Any:
        """Let the process take a step, or leave for `None`. Raises what the step raised."""
        self.expect()
        try:
            self.connection.send(step)
        except OSError:
            raise self._obituary() from None
        return await self.answered()

    def expect(self) -> None:
        """Get ready for an answer."""
        self.answer = asyncio.get_running_loop().create_future()
        if self.died is not None:
            self.answer.set_exception(self.died)

    async def answered(self) -> Any:
        """The answer that was last expected."""
        assert self.answer is not None
        return await self.answer

    def readable(self) -> None:
        """Something came from the process, or its end."""
        try:
            kind, content = self.connection.recv()
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(self.connection.fileno())
            self.died = self._obituary()
            kind, content = FAILED, self.died
        if kind == TICK:
            self.snapshot = content
            self.crew.ticked()
        elif self.answer is not None and not self.answer.done():
            if kind == FAILED:
                self.answer.set_exception(content)
            else:
                self.answer.set_result(content)

    def _obituary(self) -> WorkerDied:
        self.process.join(1.0)
        code = self.process.exitcode
        how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        words = [*self.post.errors.read_text(errors="replace").splitlines(), ""]
        last = next((line.strip() for line in reversed(words) if line.strip()), "said nothing")
        number, of = self.shard.number + 1, self.shard.of
        return WorkerDied(f"worker process {number} of {of} ended ({how}): {last}")


class Processes:
    """The running crew."""

    lead_ns = LEAD_NS

    def __init__(self, watcher: Watcher | None) -> None:
        self._watcher = watcher
        self.colleagues: list[_Colleague] = []

    @property
    def size(self) -> int:
        """How many processes there are."""
        return len(self.colleagues)

    @property
    def pids(self) -> list[int]:
        """Of the processes, in the order of their shards."""
        return [each.process.pid for each in self.colleagues if each.process.pid is not None]

    def cpu_s(self) -> float:
        """CPU time of the processes so far, and of the lab's own."""
        return time.process_time() + sum(map(_cpu_s, self.pids))

    async def first(self, step: Step[T]) -> T:
        """Let the first process take a step."""
        result: T = await self.colleagues[0].take(step)
        return result

    async def others(self, step: Step[T]) -> list[T]:
        """Let all but the first take a step, at once."""
        results: list[T] = await asyncio.gather(*(each.take(step) for each in self.colleagues[1:]))
        return results

    def ticked(self) -> None:
        """Show what the processes do together: rates add up, of percentiles the worst counts."""
        seen = [each.snapshot for each in self.colleagues if each.snapshot is not None]
        if self._watcher is not None and len(seen) == self.size:
            self._watcher(_together(seen))

    async def ready(self) -> None:
        """Until every process has opened its store. Raises what kept one from it."""
        await asyncio.gather(*(each.answered() for each in self.colleagues))

    async def dismissed(self) -> None:
        """Let every process bring its rows to disk and leave. Raises what went wrong there."""
        await asyncio.gather(*(each.take(None) for each in self.colleagues))


def shards(count: int) -> list[Shard]:
    """The parts of a load that is dealt to `count` processes."""
    return [Shard(number, count) for number in range(count)]


@asynccontextmanager
async def working_apart(
    post: Post, count: int, files: TrialFiles, watcher: Watcher | None
) -> AsyncIterator[Processes]:
    """A crew of `count` processes; behind the block their rows are together in `files`.

    Raises `WorkerDied`, or what a worker raised.
    """
    crew = Processes(watcher)
    parts = [files.part(shard.number) for shard in shards(count)]
    try:
        for shard, part in zip(shards(count), parts, strict=True):
            errors = post.errors.with_suffix(f".{shard.number}.log")
            mine = replace(post, shard=shard, files=part, errors=errors)
            crew.colleagues.append(_spawn(mine, crew))
        await crew.ready()
        yield crew
        await crew.dismissed()
    finally:
        await asyncio.shield(asyncio.to_thread(_farewell, _hang_up(crew)))
        _forget_silent(crew)
        files.join(parts)


def _spawn(post: Post, crew: Processes) -> _Colleague:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=main, args=(there, post), daemon=True)
    colleague = _Colleague(post.shard, post, process, here, crew)
    colleague.expect()
    post.errors.parent.mkdir(parents=True, exist_ok=True)
    post.errors.touch()
    process.start()
    there.close()
    asyncio.get_running_loop().add_reader(here.fileno(), colleague.readable)
    return colleague


def _hang_up(crew: Processes) -> Sequence[SpawnProcess]:
    for each in crew.colleagues:
        if not each.connection.closed:
            asyncio.get_running_loop().remove_reader(each.connection.fileno())
            each.connection.close()
        if each.answer is not None and each.answer.done():
            with suppress(asyncio.CancelledError):
                each.answer.exception()
    return [each.process for each in crew.colleagues]


def _farewell(processes: Sequence[SpawnProcess]) -> None:
    for process in processes:
        process.join(FAREWELL_S)
        if process.is_alive():
            process.kill()
            process.join()


def _cpu_s(pid: int) -> float:
    try:
        used = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(used.user + used.system)


def _forget_silent(crew: Processes) -> None:
    """Remove the logs of processes that had nothing to say."""
    for each in crew.colleagues:
        if not each.post.errors.stat().st_size:
            each.post.errors.unlink()


def _together(seen: Sequence[Snapshot]) -> Snapshot:
    def worst(values: list[float | None]) -> float | None:
        return max((value for value in values if value is not None), default=None)

    return Snapshot(
        elapsed_s=max(each.elapsed_s for each in seen),
        operations=sum(each.operations for each in seen),
        operations_per_s=sum(each.operations_per_s for each in seen),
        service_p50_ns=worst([each.service_p50_ns for each in seen]),
        service_p99_ns=worst([each.service_p99_ns for each in seen]),
        conflicts=sum(each.conflicts for each in seen),
    )
