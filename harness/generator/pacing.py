"""When operations are meant to start, and waiting until then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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


class SleepPacer:
    """`asyncio.sleep`: portable, and late by about half a millisecond."""

    name = "sleep"

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock

    async def until(self, at_ns: int) -> None:
        """Sleep until `at_ns`."""
        while (ahead_ns := at_ns - self._clock()) > 0:  # noqa: ASYNC110 - time is the event
            await asyncio.sleep(ahead_ns / NS_A_SECOND)
