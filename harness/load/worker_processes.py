"""Worker processes on this machine, which get their steps through pipes."""

from __future__ import annotations

import asyncio
import copyreg
import multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from harness.domain import interruption
from harness.domain.factory import StoreFactory
from harness.domain.orphans import end_with_parent, outlive_a_terminal
from harness.domain.workload import Subscribing, WorkloadKind
from harness.load.coordinator import Step, T
from harness.load.progress import Snapshot, Watcher
from harness.load.trial_files import TrialFiles
from harness.load.worker import Shard, Worker
from harness.scenario.model import Trial

READY, DONE, FAILED, TICK = "ready", "done", "failed", "tick"


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """Everything that a worker process is sent at its start."""

    trial: Trial
    how: StoreFactory
    kind: WorkloadKind
    files: TrialFiles
    shard: Shard
    watched: bool
    errors: Path
    """File of the process's standard error; its last line goes into an error message."""
    loop: Callable[[], asyncio.AbstractEventLoop]


def main(connection: Connection, spec: WorkerSpec) -> None:
    """Take steps until the lab disconnects. The lab handles Ctrl-C, and disconnects then."""
    interruption.left_to_the_lab()
    end_with_parent()
    with spec.errors.open("ab", buffering=0) as errors:
        os.dup2(errors.fileno(), 2)
    with asyncio.Runner(loop_factory=spec.loop) as runner:
        runner.run(_Serving(connection, spec).serve())


class _Serving:
    def __init__(self, connection: Connection, spec: WorkerSpec) -> None:
        self._connection, self._spec = connection, spec
        self._steps: asyncio.Queue[Step[Any] | None] = asyncio.Queue()
        self._serving: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Take steps until the lab disconnects or a step fails; rows are written in any case."""
        self._serving = asyncio.create_task(self._take_steps())
        asyncio.get_running_loop().add_reader(self._connection.fileno(), self._readable)
        try:
            await self._serving
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self._send(FAILED, _portable(error))
        finally:
            asyncio.get_running_loop().remove_reader(self._connection.fileno())

    def _readable(self) -> None:
        assert self._serving is not None
        try:
            self._steps.put_nowait(self._connection.recv())
        except (EOFError, OSError):
            interruption.end_within(EXIT_TIMEOUT_S)
            self._serving.cancel()

    async def _take_steps(self) -> None:
        spec = self._spec
        workload = spec.kind.make(spec.trial.parameters)
        sinks = spec.files.sinks(
            deliveries=isinstance(workload, Subscribing) and spec.shard.is_first
        )
        watcher = (lambda snapshot: self._send(TICK, snapshot)) if spec.watched else None
        async with spec.how.opened() as store:
            worker = Worker(spec.trial, store, workload, sinks, spec.shard, watcher)
            try:
                self._send(READY, None)
                await self._until_closed(worker)
            finally:
                await worker.close()
        self._send(DONE, None)

    async def _until_closed(self, worker: Worker) -> None:
        while True:
            step = await self._steps.get()
            if step is None:
                return
            self._send(DONE, await step(worker))

    def _send(self, kind: str, content: Any) -> None:
        self._connection.send((kind, content))


def _portable(error: Exception) -> Exception:
    """The error itself if the lab's process can unpickle it, else its text."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note("in a worker process:\n" + "".join(traceback.format_exception(error)))
    return error


LEAD_NS = 20_000_000
"""From sending the start time until the start: pipes to a few processes take a millisecond."""
EXIT_TIMEOUT_S = 5.0
"""A disconnected process has this long to end before it is killed."""


def _frozen(content: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(content)


copyreg.pickle(MappingProxyType, lambda mapping: (_frozen, (dict(mapping),)))


class WorkerDied(Exception):
    """A worker process ended by itself; the message ends with its last line of output."""


@dataclass(slots=True)
class WorkerHandle:
    """One process, and its pending answer."""

    shard: Shard
    spec: WorkerSpec
    process: SpawnProcess
    connection: Connection
    workers: WorkerProcesses
    answer: asyncio.Future[Any] | None = None
    snapshot: Snapshot | None = None
    died: WorkerDied | None = None

    async def take(self, step: Step[Any] | None) -> Any:
        """Let the process take a step, or exit for `None`. Raises what the step raised."""
        self.expect()
        try:
            self.connection.send(step)
        except OSError:
            raise self._death_message() from None
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
        """Receive an answer from the process, or notice its end."""
        try:
            kind, content = self.connection.recv()
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(self.connection.fileno())
            self.died = self._death_message()
            kind, content = FAILED, self.died
        if kind == TICK:
            self.snapshot = content
            self.workers.ticked()
        elif self.answer is not None and not self.answer.done():
            if kind == FAILED:
                self.answer.set_exception(content)
            else:
                self.answer.set_result(content)

    def _death_message(self) -> WorkerDied:
        self.process.join(1.0)
        code = self.process.exitcode
        how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        words = [*self.spec.errors.read_text(encoding="utf-8", errors="replace").splitlines(), ""]
        last = next((line.strip() for line in reversed(words) if line.strip()), "no output")
        number, of = self.shard.number + 1, self.shard.of
        return WorkerDied(f"worker process {number} of {of} ended ({how}): {last}")


class WorkerProcesses:
    """The running processes."""

    lead_ns = LEAD_NS

    def __init__(self, watcher: Watcher | None) -> None:
        self._watcher = watcher
        self.handles: list[WorkerHandle] = []

    @property
    def size(self) -> int:
        """How many processes there are."""
        return len(self.handles)

    @property
    def pids(self) -> list[int]:
        """Of the processes, in the order of their shards."""
        return [each.process.pid for each in self.handles if each.process.pid is not None]

    def cpu_s(self) -> float:
        """CPU time of the processes so far, and of the lab's own."""
        return time.process_time() + sum(map(_cpu_s, self.pids))

    async def first(self, step: Step[T]) -> T:
        """Let the first process take a step."""
        result: T = await self.handles[0].take(step)
        return result

    async def others(self, step: Step[T]) -> list[T]:
        """Let all but the first take a step, at once."""
        results: list[T] = await asyncio.gather(*(each.take(step) for each in self.handles[1:]))
        return results

    def ticked(self) -> None:
        """Combine the processes' snapshots: rates are added, of percentiles the worst is shown."""
        seen = [each.snapshot for each in self.handles if each.snapshot is not None]
        if self._watcher is not None and len(seen) == self.size:
            self._watcher(_together(seen))

    async def ready(self) -> None:
        """Wait until every process has opened its store. Raises the error of one that could not."""
        await asyncio.gather(*(each.answered() for each in self.handles))

    async def dismissed(self) -> None:
        """Let every process write its rows to disk and exit. Raises the errors of writing."""
        await asyncio.gather(*(each.take(None) for each in self.handles))


def shards(count: int) -> list[Shard]:
    """The parts of a load that is dealt to `count` processes."""
    return [Shard(number, count) for number in range(count)]


@asynccontextmanager
async def worker_processes(
    spec: WorkerSpec, count: int, files: TrialFiles, watcher: Watcher | None
) -> AsyncIterator[WorkerProcesses]:
    """A group of `count` processes; after the block their rows are together in `files`.

    Raises `WorkerDied`, or what a worker raised.
    """
    workers = WorkerProcesses(watcher)
    parts = [files.part(shard.number) for shard in shards(count)]
    try:
        for shard, part in zip(shards(count), parts, strict=True):
            errors = spec.errors.with_suffix(f".{shard.number}.log")
            mine = replace(spec, shard=shard, files=part, errors=errors)
            workers.handles.append(_spawn(mine, workers))
        await workers.ready()
        yield workers
        await workers.dismissed()
    finally:
        await asyncio.shield(asyncio.to_thread(_wait_for_exit, _disconnect(workers)))
        _remove_empty_logs(workers)
        files.join(parts)


def _spawn(spec: WorkerSpec, workers: WorkerProcesses) -> WorkerHandle:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=main, args=(there, spec), daemon=True)
    handle = WorkerHandle(spec.shard, spec, process, here, workers)
    handle.expect()
    spec.errors.parent.mkdir(parents=True, exist_ok=True)
    spec.errors.touch()
    outlive_a_terminal()
    process.start()
    there.close()
    asyncio.get_running_loop().add_reader(here.fileno(), handle.readable)
    return handle


def _disconnect(workers: WorkerProcesses) -> Sequence[SpawnProcess]:
    for each in workers.handles:
        if not each.connection.closed:
            asyncio.get_running_loop().remove_reader(each.connection.fileno())
            each.connection.close()
        if each.answer is not None and each.answer.done():
            with suppress(asyncio.CancelledError):
                each.answer.exception()
    return [each.process for each in workers.handles]


def _wait_for_exit(processes: Sequence[SpawnProcess]) -> None:
    for process in processes:
        process.join(EXIT_TIMEOUT_S)
        if process.is_alive():
            process.kill()
            process.join()


def _cpu_s(pid: int) -> float:
    try:
        used = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(used.user + used.system)


def _remove_empty_logs(workers: WorkerProcesses) -> None:
    for each in workers.handles:
        if not each.spec.errors.stat().st_size:
            each.spec.errors.unlink()
            with suppress(OSError):  # unless another trial has left something to say
                each.spec.errors.parent.rmdir()


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
