"""How late each pacer is on this machine, with nothing else to do: part of `eslab doctor`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.generator import timerfd
from harness.generator.pacing import NS_A_SECOND, PACERS, Pacer
from harness.percentiles import percentiles

RATES_PER_S = (1_000, 5_000, 10_000)
WAITS = 1_000
"""Of each pacer at each rate: 1.3 s a pacer, and enough for a 90th percentile."""


@dataclass(frozen=True, slots=True)
class Lateness:
    """Return from waiting − the moment waited for, in ns; negative is early."""

    pacer: str
    rate_per_s: int
    p50_ns: float | None
    p90_ns: float | None
    max_ns: float
    cpu_share: float
    """Of one core, while it waited."""


async def measure(rates_per_s: tuple[int, ...] = RATES_PER_S, waits: int = WAITS) -> list[Lateness]:
    """Every pacer that this system has, at every rate; one after the other, on this loop."""
    return [
        await _one(name, make, rate_per_s, waits)
        for name, make in PACERS.items()
        if name != "timerfd" or timerfd.available()
        for rate_per_s in rates_per_s
    ]


async def _one(
    name: str, make: Callable[[Callable[[], int]], Pacer], rate_per_s: int, waits: int
) -> Lateness:
    pacer = make(time.monotonic_ns)
    try:
        began_s, began_ns = time.process_time(), time.monotonic_ns()
        late_ns = await _late_ns(pacer, NS_A_SECOND // rate_per_s, waits)
        took_ns = time.monotonic_ns() - began_ns
        cpu_share = (time.process_time() - began_s) / took_ns * NS_A_SECOND
    finally:
        pacer.close()
    p50, p90 = percentiles(late_ns, (50, 90))
    return Lateness(name, rate_per_s, p50, p90, float(late_ns.max()), cpu_share)


async def _late_ns(pacer: Pacer, gap_ns: int, waits: int) -> np.ndarray:
    late_ns = np.empty(waits, np.int64)
    clock = time.monotonic_ns
    due_ns = clock() + gap_ns
    for number in range(waits):
        await pacer.until(due_ns)
        late_ns[number] = clock() - due_ns
        due_ns += gap_ns
    return late_ns
