"""When operations start, the timers that wait until then, and how late each is on this machine."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.analysis.percentiles import percentiles
from harness.scenario.model import OpenLoop

NS_A_SECOND = 1_000_000_000
_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1
_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = os.O_CLOEXEC


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


def timers_available() -> bool:
    """Whether this system has them."""
    return sys.platform == "linux" and hasattr(_libc(), "timerfd_settime")


def _create_timer() -> int:
    """A disarmed timer on the monotonic clock. Raises `OSError`."""
    if sys.version_info >= (3, 13):
        return os.timerfd_create(_CLOCK_MONOTONIC, flags=_TFD_NONBLOCK | _TFD_CLOEXEC)
    return _checked(_libc().timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC))


def _arm_timer(timer: int) -> Callable[[int], None]:
    """A function that sets the timer to a moment, in ns of the monotonic clock."""
    if sys.version_info >= (3, 13):
        return lambda at_ns: os.timerfd_settime_ns(timer, flags=_TFD_TIMER_ABSTIME, initial=at_ns)
    spec = _TimerSpec()
    value, reference, settime = spec.value, ctypes.byref(spec), _libc().timerfd_settime

    def ring_at(at_ns: int) -> None:
        value.seconds, value.nanoseconds = divmod(at_ns, NS_A_SECOND)
        _checked(settime(timer, _TFD_TIMER_ABSTIME, reference, None))

    return ring_at


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def schedule(load: OpenLoop, count: int, seed: str) -> NDArray[np.int64]:
    """Intended start times of `count` operations, in ns from the start, from the seed alone."""
    assert load.rate_per_s, "the run finds the rate before it offers load"
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
        """Release its resources."""
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
        """Do nothing."""


class TimerPacer:
    """A Linux timer that the event loop waits for: late by tens of microseconds."""

    name = "timerfd"

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._timer = _create_timer()
        self._ring_at = _arm_timer(self._timer)
        self._ringing: asyncio.Future[None] | None = None
        self._loop.add_reader(self._timer, self._rang)

    async def until(self, at_ns: int) -> None:
        """Wait until the timer expires at `at_ns`."""
        if at_ns > self._clock():
            self._ringing = self._loop.create_future()
            self._ring_at(at_ns)
            await self._ringing

    def close(self) -> None:
        """Close the timer."""
        self._loop.remove_reader(self._timer)
        os.close(self._timer)

    def _rang(self) -> None:
        try:
            os.read(self._timer, 8)
        except BlockingIOError:
            return  # armed anew since the loop saw it expire
        if self._ringing is not None and not self._ringing.done():
            self._ringing.set_result(None)


class SpinPacer:
    """Sleeps until shortly before, then yields to the loop until it is time: uses a whole core."""

    name = "spin"
    _SLEEP_UNTIL_NS = 1_000_000

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock

    async def until(self, at_ns: int) -> None:
        """Sleep, then spin."""
        while (ahead_ns := at_ns - self._clock()) > 0:  # noqa: ASYNC110 - time is the event
            await asyncio.sleep(max(0, ahead_ns - self._SLEEP_UNTIL_NS) / NS_A_SECOND)

    def close(self) -> None:
        """Do nothing."""


PACERS: dict[str, Callable[[Callable[[], int]], Pacer]] = {
    "timerfd": TimerPacer,
    "sleep": SleepPacer,
    "spin": SpinPacer,
}


def pacer_named(name: str, clock: Callable[[], int]) -> Pacer:
    """The pacer of a scenario; `auto` is the timer where the system has one, else plain sleep."""
    if name == "auto":
        name = "timerfd" if timers_available() else "sleep"
    return PACERS[name](clock)


RATES_PER_S = (1_000, 5_000, 10_000)
WAITS = 1_000
"""Waits per pacer and rate: 1.3 s a pacer, and enough for a 90th percentile."""


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


async def measure_lateness(
    rates_per_s: tuple[int, ...] = RATES_PER_S, waits: int = WAITS
) -> list[Lateness]:
    """Every pacer that this system has, at every rate; one after the other, on this loop."""
    return [
        await _lateness(name, make, rate_per_s, waits)
        for name, make in PACERS.items()
        if name != "timerfd" or timers_available()
        for rate_per_s in rates_per_s
    ]


async def _lateness(
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
