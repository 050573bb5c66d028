"""What runs in a worker process: it opens its store and takes the steps that it is told."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import traceback
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from harness.generator.conducting import Step
from harness.generator.files import TrialFiles
from harness.generator.shard import Shard
from harness.generator.worker import Worker
from harness.scenario.types import Trial
from harness.store import EventStore
from harness.workload import Subscribing, WorkloadKind

READY, DONE, FAILED, TICK = "ready", "done", "failed", "tick"


class Opens(Protocol):
    """Opens the store of a trial; it pickles."""

    def opened(self) -> AbstractAsyncContextManager[EventStore]:
        """The connected store, closed behind the block."""
        ...


@dataclass(frozen=True, slots=True)
class Post:
    """Everything that a worker process is sent at its start."""

    trial: Trial
    how: Opens
    kind: WorkloadKind
    files: TrialFiles
    shard: Shard
    watched: bool
    errors: Path
    """Takes the process's standard error: its last words."""
    loop: Callable[[], asyncio.AbstractEventLoop]


def main(connection: Connection, post: Post) -> None:
    """Serve until the lab hangs up. Ctrl-C is the lab's to handle: it hangs up then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with post.errors.open("ab", buffering=0) as errors:
        os.dup2(errors.fileno(), 2)
    with asyncio.Runner(loop_factory=post.loop) as runner:
        runner.run(_Serving(connection, post).serve())


class _Serving:
    def __init__(self, connection: Connection, post: Post) -> None:
        self._connection, self._post = connection, post
        self._steps: asyncio.Queue[Step[Any] | None] = asyncio.Queue()
        self._serving: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Until the lab hangs up, or a step fails; rows are brought to disk in any case."""
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
            self._serving.cancel()

    async def _take_steps(self) -> None:
        post = self._post
        workload = post.kind.make(post.trial.parameters)
        sinks = post.files.sinks(
            deliveries=isinstance(workload, Subscribing) and post.shard.is_first
        )
        watcher = (lambda snapshot: self._send(TICK, snapshot)) if post.watched else None
        async with post.how.opened() as store:
            worker = Worker(post.trial, store, workload, sinks, post.shard, watcher)
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
    """The error itself where the lab's process can make it again, else its words."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note("in a worker process:\n" + "".join(traceback.format_exception(error)))
    return error
