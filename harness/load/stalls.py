"""Whether the lab itself stood still: a tick on the event loop that came late, a core not had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.load.pacing import NS_A_SECOND

TICK_NS = NS_A_SECOND // 10
STALL_MIN_NS = NS_A_SECOND // 2
"""A tick that is later than this found its process stopped, starved or blocked."""


def coreless_ns() -> int | None:
    """How long this thread was ready to run and had no core, so far; `None` where nobody counts.

    Source: Documentation/scheduler/sched-stats.rst of Linux, /proc/<pid>/schedstat.
    """
    try:
        return int(Path("/proc/thread-self/schedstat").read_text("ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return None


class LoopWatch:
    """Sums the latenesses of a tick while its block runs, those of half a second and more.

    The loop that offers the load cannot time what happens while it stands still, so such a stretch
    says nothing about a store.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self.stalled_ns = 0
        self._clock = clock
        self._last_ns = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._last_ns = self._clock()
        self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._look()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_NS / NS_A_SECOND)
            self._look()

    def _look(self) -> None:
        now_ns = self._clock()
        late_ns = now_ns - self._last_ns - TICK_NS
        self._last_ns = now_ns
        if late_ns >= STALL_MIN_NS:
            self.stalled_ns += late_ns
