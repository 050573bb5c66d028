"""What in-process stores share: giving way to the event loop, waking subscribers, categories."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator


@types.coroutine
def give_way() -> Generator[None, None, None]:
    """Let the event loop run its other tasks once, as cheaply as Python can."""
    yield


def category_of(stream: str) -> str:
    """What stands before the first `-` of a stream's name; the whole name if there is none."""
    return stream.partition("-")[0]


class Bell:
    """Wakes whoever listens when something was appended; costs nothing while nobody does.

    Take `listen()` before looking for events and wait for it after finding none: an append
    in between rings the event that is already held, so that no wake-up is lost.
    """

    __slots__ = ("_rung",)

    def __init__(self) -> None:
        self._rung: asyncio.Event | None = None

    def listen(self) -> asyncio.Event:
        """The event that the next `ring` sets."""
        if self._rung is None:
            self._rung = asyncio.Event()
        return self._rung

    def ring(self) -> None:
        """Wake every listener. Called on the event loop's own thread."""
        if self._rung is not None:
            self._rung.set()
            self._rung = None
