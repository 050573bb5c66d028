"""What the double's services share: the log, whether it is paused, and what tests ask it to do."""

from __future__ import annotations

import asyncio
from typing import Any

from .log import Log


class State:
    """Survives a kill."""

    def __init__(self) -> None:
        self.log = Log()
        self.going = asyncio.Event()
        self.going.set()
        self._news = asyncio.Condition()

    async def gate(self, context: Any) -> None:
        """Wait while paused."""
        del context
        await self.going.wait()

    async def wake(self) -> None:
        """Tell everybody who waits for events."""
        async with self._news:
            self._news.notify_all()

    async def more(self, position: int) -> None:
        """Wait until the log goes on behind a position."""
        async with self._news:
            await self._news.wait_for(
                lambda: bool(self.log.all) and self.log.all[-1].position > position
            )
