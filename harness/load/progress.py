"""Progress of a trial: a snapshot of the newest rows for the watcher, twice a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from harness.analysis.percentiles import percentiles
from harness.domain.outcome import Outcome
from harness.load.column_buffer import SAMPLE_COLUMNS, SampleBuffer
from harness.load.pacing import NS_A_SECOND

EVERY_S = 0.5
_NEWEST = 20_000
_DONE, _SENT, _OUTCOME, _ATTEMPTS = (
    SAMPLE_COLUMNS.index(name) for name in ("done_ns", "sent_ns", "outcome", "attempts")
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of a running trial; percentiles are of the newest operations."""

    elapsed_s: float
    operations: int
    operations_per_s: float
    service_p50_ns: float | None
    service_p99_ns: float | None
    conflicts: int


Watcher = Callable[[Snapshot], None]


class Ticker:
    """Sends snapshots to the watcher, if there is one, while its block runs."""

    def __init__(
        self, samples: SampleBuffer, clock: Callable[[], int], watcher: Watcher | None
    ) -> None:
        self._samples = samples
        self._clock = clock
        self._watcher = watcher
        self._conflicts = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        if self._watcher is not None:
            self._task = asyncio.create_task(self._tick(self._watcher))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _tick(self, watcher: Watcher) -> None:
        started_ns = last_ns = self._clock()
        first = last = self._samples.rows
        while True:
            await asyncio.sleep(EVERY_S)
            now_ns, rows = self._clock(), self._samples.rows
            rate = (rows - last) * NS_A_SECOND / (now_ns - last_ns)
            watcher(self._look((now_ns - started_ns) / NS_A_SECOND, rows - first, rate, last_ns))
            last, last_ns = rows, now_ns

    def _look(self, elapsed_s: float, rows: int, rate: float, since_ns: int) -> Snapshot:
        newest = self._samples.latest(_NEWEST)
        newest = newest[newest[:, _DONE] >= since_ns]
        ok = newest[newest[:, _OUTCOME] == Outcome.OK]
        p50, p99 = percentiles(ok[:, _DONE] - ok[:, _SENT], (50, 99))
        self._conflicts += int(np.maximum(newest[:, _ATTEMPTS] - 1, 0).sum())
        self._conflicts += int((newest[:, _OUTCOME] == Outcome.CONFLICT).sum())
        return Snapshot(elapsed_s, rows, rate, p50, p99, self._conflicts)
