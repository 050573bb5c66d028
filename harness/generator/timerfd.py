"""Linux' timers as file descriptors: the event loop wakes when one is due."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache

NS_A_SECOND = 1_000_000_000
_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1
_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = os.O_CLOEXEC


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


def available() -> bool:
    """Whether this system has them."""
    return sys.platform == "linux" and hasattr(_libc(), "timerfd_settime")


def create() -> int:
    """A disarmed timer on the monotonic clock. Raises `OSError`."""
    if sys.version_info >= (3, 13):
        return os.timerfd_create(_CLOCK_MONOTONIC, flags=_TFD_NONBLOCK | _TFD_CLOEXEC)
    return _checked(_libc().timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC))


def arm(timer: int) -> Callable[[int], None]:
    """A function that lets the timer ring at a moment, in ns of the monotonic clock."""
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
