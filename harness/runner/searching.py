"""The highest rate that holds: doubled or halved into a bracket, bisected, and then confirmed."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

PRECISION = 1.1
"""The lowest rate that failed is at most this many times the answer."""
CONFIRMATIONS = 2
"""How often the answer must hold again: one lucky probe proves little."""
RATE_MIN_PER_S = 1.0
PROBES_MAX = 40
_STRIDE = 2.0


@dataclass(frozen=True, slots=True)
class Tried:
    """One rate, and whether it held."""

    rate_per_s: float
    held: bool


@dataclass(frozen=True, slots=True)
class Found:
    """The answer lies between `rate_per_s`, which held, and `failed_per_s`, which did not.

    `rate_per_s` is `None` where nothing held, `failed_per_s` where nothing failed.
    """

    rate_per_s: float | None
    failed_per_s: float | None
    tried: tuple[Tried, ...]


async def highest_rate(
    holds: Callable[[float], Awaitable[bool]], start_per_s: float, most_per_s: float
) -> Found:
    """Ask `holds` about rates from `start_per_s` on, never above `most_per_s`."""
    search = _Search(holds, most_per_s)
    await search.bracket(min(start_per_s, most_per_s))
    await search.bisect()
    while search.low is not None and not await search.confirmed():
        await search.step_down()
    return Found(search.low, search.high, tuple(search.tried))


class _Search:
    def __init__(self, holds: Callable[[float], Awaitable[bool]], most_per_s: float) -> None:
        self._holds, self._most = holds, most_per_s
        self.low: float | None = None
        self.high: float | None = None
        self.tried: list[Tried] = []

    async def bracket(self, rate: float) -> None:
        """Grow while it holds, shrink while it does not, until both ends are known."""
        held = await self._try(rate)
        while held and rate < self._most:
            rate = min(rate * _STRIDE, self._most)
            held = await self._try(rate)
        while self.low is None and rate > RATE_MIN_PER_S:
            rate = max(rate / _STRIDE, RATE_MIN_PER_S)
            await self._try(rate)

    async def bisect(self) -> None:
        """Halve the bracket, in ratios, until it is narrow enough."""
        while self.low and self.high and self.high / self.low > PRECISION:
            await self._try(math.sqrt(self.low * self.high))

    async def confirmed(self) -> bool:
        """Whether the answer holds again, so many times."""
        assert self.low is not None
        for _ in range(CONFIRMATIONS):
            if not await self._try(self.low):
                return False
        return True

    async def step_down(self) -> None:
        """After a rate that did not hold again: the next lower one that holds, if there is one."""
        while self.low is None and self.high is not None and len(self.tried) < PROBES_MAX:
            rate = self.high / PRECISION
            if rate < RATE_MIN_PER_S:
                return
            await self._try(rate)

    async def _try(self, rate: float) -> bool:
        held = await self._holds(rate)
        self.tried.append(Tried(rate, held))
        if held:
            self.low = max(rate, self.low or 0.0)
        else:
            self.high = min(rate, self.high or math.inf)
            if self.low is not None and self.low >= self.high:
                self.low = None
        return held
