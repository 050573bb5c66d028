"""What the double's services share: the log, whether it is paused, and what tests ask it to do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc

from .log import Log


@dataclass(frozen=True)
class Release:
    """In what the two servers differ. Source: their answers, `MaxAppendSize` and so on."""

    info: dict[str, Any]
    append_bytes: int
    event_bytes: int | None
    no_position: str
    several_streams: bool
    """Whether it has the second protocol's service."""


EVENTSTOREDB = Release({"esVersion": "23.10.8.0"}, 1 << 20, None, "Error", several_streams=False)
KURRENTDB = Release(
    {"dbVersion": "26.1.0", "esVersion": "26.1.0"},
    1 << 28,
    1 << 24,
    "InvalidPosition",
    several_streams=True,
)


class State:
    """Survives a kill."""

    def __init__(self, release: Release = EVENTSTOREDB) -> None:
        self.release = release
        self.projections = True
        self.options = {"MemDb": "False", "UnsafeDisableFlushToDisk": "False"}
        """As the operator wrote them."""
        self.secured = False
        """Whoever has credentials has wrong ones; without any, the options alone are refused."""
        self.refuses_appends_until = 0.0
        """Of the loop's clock: a server is alive a little before it takes an append."""
        self.log = Log()
        self.going = asyncio.Event()
        self.going.set()
        self._news = asyncio.Condition()

    async def gate(self, context: Any) -> None:
        """Wait while paused."""
        del context
        await self.going.wait()

    async def require_writable(self, context: Any) -> None:
        """End a call with UNAVAILABLE while the server is alive and takes no append yet."""
        if asyncio.get_running_loop().time() < self.refuses_appends_until:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Server Is Not Ready")

    async def wake(self) -> None:
        """Tell everybody who waits for events."""
        async with self._news:
            self._news.notify_all()

    async def more(self, position: int) -> None:
        """Wait until the log continues after a position."""
        async with self._news:
            await self._news.wait_for(
                lambda: bool(self.log.all) and self.log.all[-1].position > position
            )
