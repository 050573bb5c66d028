"""What ends a command early: ctrl-C, SIGTERM and SIGHUP; a clean-up has its time, and no more.

The first signal cancels what runs in an event loop (`harness.domain.cancellation`), or raises
`Interrupted` where none runs. A second ctrl-C ends the process at once, and so does a clean-up that
takes too long; then guardians remove what is left.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_PRESS_S = 0.1
"""A second ctrl-C within this time is the first: `timeout` and some shells send it twice."""
MAIN_FIRST_S = 0.4
"""For the main thread to end the process, before another one does."""
TOLD_AFTER_S = 2.0
CLEAN_UP_S = 10.0
"""After this, what the clean-up waits for is cancelled too."""
END_S = 25.0
"""After this, the process ends as it is."""
_AGAIN_S = 2.0
_SIGNAL_BASE = 128
_SHOW_CURSOR = b"\x1b[?25h"


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to end."""


class Running(Protocol):
    """An event loop at work."""

    def cancel(self) -> None:
        """Cancel the main task. Called in the loop's thread."""
        ...

    def cancel_everything(self) -> None:
        """Cancel every task. Called in any thread."""
        ...


class _Ending:
    """How far the end of this process has come."""

    def __init__(self) -> None:
        self.by: signal.Signals | None = None
        self.since_s = 0.0
        self.running: Running | None = None
        self.last_steps: list[Callable[[], object]] = []
        self.at_once = threading.Lock()


_ending = _Ending()


def listen() -> None:
    """From now on, let these signals end the command; one that is ignored stays so (`nohup`)."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _asked)


def exit_code() -> int | None:
    """The exit code of an interrupted command, as shells count; `None` if nothing asked it to."""
    return None if _ending.by is None else _SIGNAL_BASE + _ending.by


def sentence() -> str:
    """What the user reads at the end of an interrupted command."""
    by = _ending.by
    how = "" if by in (None, signal.SIGINT) else f" by {signal.Signals(by).name}"
    return f"eslab: interrupted{how}; finished trials are kept"


def leave() -> None:
    """End an interrupted process without Python's own end, which waits for threads that hang."""
    atexit._run_exitfuncs()
    os._exit(exit_code() or 1)


@contextmanager
def ending(running: Running) -> Iterator[None]:
    """During the block, signals cancel what runs instead of raising `Interrupted`."""
    _ending.running = running
    try:
        yield
    finally:
        _ending.running = None


@contextmanager
def last_step(step: Callable[[], object]) -> Iterator[None]:
    """During the block, a quick step that is still taken where the process ends at once."""
    _ending.last_steps.append(step)
    try:
        yield
    finally:
        _ending.last_steps.remove(step)


def left_to_the_lab() -> None:
    """In a process of the lab's own: a terminal's signals reach it too, and the lab ends it."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def end_within(limit_s: float) -> None:
    """In a process of the lab's own that is no longer needed: end it, even if it hangs."""
    timer = threading.Timer(limit_s, os._exit, (1,))
    timer.daemon = True
    timer.start()


def _asked(number: int, _: FrameType | None) -> None:
    if _ending.by is None:
        _ending.by, _ending.since_s = signal.Signals(number), time.monotonic()
        # Python runs this function in the main thread alone, which may hang: a thread reads, too.
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(reading,), name="eslab-ending", daemon=True).start()
        if _ending.running is None:
            raise Interrupted
        _ending.running.cancel()
    elif number == signal.SIGINT:
        _asked_again()


def _asked_again() -> None:
    if _elapsed_s() > SAME_PRESS_S:
        _end_at_once()


def _elapsed_s() -> float:
    return time.monotonic() - _ending.since_s


def _watch(signals: int) -> None:
    """The time that a clean-up has, and a second ctrl-C."""
    _wait(signals, TOLD_AFTER_S)
    _say("eslab: cleaning up; ctrl-C again ends it at once")
    limit_s = CLEAN_UP_S
    while limit_s < END_S:
        _wait(signals, limit_s)
        if _ending.running is not None:
            _ending.running.cancel_everything()
        limit_s += _AGAIN_S
    _end_at_once()


def _wait(signals: int, limit_s: float) -> None:
    """Until so long after the first signal."""
    while (left_s := limit_s - _elapsed_s()) > 0:
        if select.select([signals], [], [], left_s)[0] and signal.SIGINT in os.read(signals, 64):
            time.sleep(MAIN_FIRST_S)
            _asked_again()


def _end_at_once() -> None:
    if _ending.at_once.acquire(blocking=False):
        for step in reversed(_ending.last_steps):
            with suppress(Exception):
                step()
    elif _elapsed_s() < END_S:
        time.sleep(END_S)  # the other thread is about to
    processes = sys.modules.get("multiprocessing")
    if processes is not None:
        for child in processes.active_children():
            child.kill()
    for terminal in (1, 2):
        if os.isatty(terminal):
            os.write(terminal, _SHOW_CURSOR)
    _say(sentence())
    os._exit(exit_code() or 1)


def _say(line: str) -> None:
    """Past Python's streams, which another thread may hold."""
    with suppress(OSError):
        os.write(2, line.encode() + b"\n")
