"""Waiting in the event loop: yield to other tasks, wake subscribers, poll less often."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator
from contextlib import suppress

POLL_MIN_S = 0.001
POLL_MAX_S = 0.05


@types.coroutine
def give_way() -> Generator[None, None, None]:
    """Let the event loop run its other tasks once, as cheaply as Python can."""
    yield


class Bell:
    """Wakes every listener after an append; costs nothing without listeners.

    Call `listen` before reading, and wait for its event if the read returns no events: an append
    in between sets that event, so that no wake-up is lost.
    """

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next: asyncio.Event | None = None

    def listen(self) -> asyncio.Event:
        """The event that the next `ring` sets."""
        if self._next is None:
            self._next = asyncio.Event()
        return self._next

    def ring(self) -> None:
        """Wake every listener. Called on the event loop's own thread."""
        if self._next is not None:
            self._next.set()
            self._next = None


class PollInterval:
    """The pause between two polls: it doubles from `min_s` to `POLL_MAX_S` while idle."""

    __slots__ = ("_min_s", "_pause_s")

    def __init__(self, min_s: float = POLL_MIN_S) -> None:
        self._min_s = self._pause_s = min_s

    def reset(self) -> None:
        """Make the next pause short, after new events."""
        self._pause_s = self._min_s

    async def wait(self, wake_up: asyncio.Event | None = None) -> None:
        """Sleep for the pause, or until `wake_up` is set."""
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, POLL_MAX_S)
        if wake_up is None:
            await asyncio.sleep(pause_s)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await wake_up.wait()
