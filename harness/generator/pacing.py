"""When operations are meant to start, and waiting until then."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.generator import timerfd
from harness.scenario.types import OpenLoop

NS_A_SECOND = 1_000_000_000


def schedule(load: OpenLoop, count: int, seed: str) -> NDArray[np.int64]:
    """Intended start times of `count` operations, in ns from the start, from the seed alone."""
    gap_ns = NS_A_SECOND / load.rate_per_s
    if load.arrivals == "uniform":
        return np.round(np.arange(count) * gap_ns).astype(np.int64)
    rng = np.random.default_rng(list(f"{seed}/arrivals".encode()))
    return np.round(np.cumsum(rng.exponential(gap_ns, count))).astype(np.int64)


class Pacer(Protocol):
    """Waits for a moment on the trial's clock."""

    name: str

    async def until(self, at_ns: int) -> None:
        """Return at `at_ns` or as soon after it as can be; at once if it has passed."""
        ...

    def close(self) -> None:
        """Give up what it holds."""
        ...


class SleepPacer:
    """`asyncio.sleep`: portable, and late by about half a millisecond."""

    name = "sleep"

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock

    async def until(self, at_ns: int) -> None:
        """Sleep until `at_ns`."""
        while (ahead_ns := at_ns - self._clock()) > 0:  # noqa: ASYNC110 - time is the event
            await asyncio.sleep(ahead_ns / NS_A_SECOND)

    def close(self) -> None:
        """Nothing to give up."""


class TimerPacer:
    """A timer of Linux' that the event loop waits for: late by tens of microseconds."""

    name = "timerfd"

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._timer = timerfd.create()
        self._ring_at = timerfd.arm(self._timer)
        self._ringing: asyncio.Future[None] | None = None
        self._loop.add_reader(self._timer, self._rang)

    async def until(self, at_ns: int) -> None:
        """Let the timer ring at `at_ns`."""
        if at_ns > self._clock():
            self._ringing = self._loop.create_future()
            self._ring_at(at_ns)
            await self._ringing

    def close(self) -> None:
        """Close the timer."""
        self._loop.remove_reader(self._timer)
        os.close(self._timer)

    def _rang(self) -> None:
        os.read(self._timer, 8)
        if self._ringing is not None and not self._ringing.done():
            self._ringing.set_result(None)


class SpinPacer:
    """Sleeps until shortly before, then gives way to the loop until it is time: a whole core."""

    name = "spin"
    _SLEEP_UNTIL_NS = 1_000_000

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock

    async def until(self, at_ns: int) -> None:
        """Sleep, then spin."""
        while (ahead_ns := at_ns - self._clock()) > 0:  # noqa: ASYNC110 - time is the event
            await asyncio.sleep(max(0, ahead_ns - self._SLEEP_UNTIL_NS) / NS_A_SECOND)

    def close(self) -> None:
        """Nothing to give up."""


PACERS: dict[str, Callable[[Callable[[], int]], Pacer]] = {
    "timerfd": TimerPacer,
    "sleep": SleepPacer,
    "spin": SpinPacer,
}


def pacer_named(name: str, clock: Callable[[], int]) -> Pacer:
    """The pacer of a scenario; `auto` is the timer where there are timers, else plain sleep."""
    if name == "auto":
        name = "timerfd" if timerfd.available() else "sleep"
    return PACERS[name](clock)
