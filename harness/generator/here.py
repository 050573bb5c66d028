"""A crew of one worker in the lab's own process."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from harness.generator.conducting import Step, T
from harness.generator.files import Sinks
from harness.generator.progress import Watcher
from harness.generator.worker import Worker
from harness.scenario.types import Trial
from harness.store import EventStore
from harness.workload import Workload


@dataclass(frozen=True, slots=True)
class Here:
    """Its steps are plain calls."""

    worker: Worker
    size: int = 1
    lead_ns: int = 0

    def cpu_s(self) -> float:
        """CPU time of this process so far."""
        return time.process_time()

    async def first(self, step: Step[T]) -> T:
        """Let the worker take the step."""
        return await step(self.worker)

    async def others(self, step: Step[T]) -> list[T]:  # noqa: ARG002 - the protocol's
        """There are none."""
        return []


@asynccontextmanager
async def working_here(
    trial: Trial,
    store: EventStore,
    workload: Workload,
    sinks: Sinks,
    watcher: Watcher | None = None,
) -> AsyncIterator[Here]:
    """A crew of one, whose rows are on disk behind the block."""
    worker = Worker(trial, store, workload, sinks, watcher=watcher)
    try:
        yield Here(worker)
    finally:
        await worker.close()
