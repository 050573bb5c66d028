"""Reads what the work costs, as one worker process sees it."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from harness.costs import GENERATOR_CPU_S, Costed, Counted, Counts, Telling
from harness.errors import StoreError
from harness.store import EventStore

_LOG = logging.getLogger(__name__)


class Meter:
    """Asks the store and the process; what does not answer is left out."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    def here(self) -> Counts:
        """CPU of this process and what its connections know: quick, asked next to the window."""
        known = self._store.costs() if isinstance(self._store, Costed) else {}
        return {GENERATOR_CPU_S: time.process_time(), **known}

    async def settled(self) -> Counts:
        """Bring the store to rest, then let it count."""
        if not isinstance(self._store, Counted):
            return {}
        settle, counts = self._store.settle, self._store.counts

        async def both() -> Counts:
            await settle()
            return await counts()

        return await _answered(both)

    async def counted(self) -> Counts:
        """What the store counts now."""
        return await _answered(self._store.counts) if isinstance(self._store, Counted) else {}

    async def tell(self) -> Counts:
        """Let others count what this process's connections did; what telling itself used."""
        return await _answered(self._store.tell) if isinstance(self._store, Telling) else {}


async def _answered(ask: Callable[[], Awaitable[Counts]]) -> Counts:
    try:
        return await ask()
    except StoreError as error:
        _LOG.info("costs are not counted: %s", error)
        return {}
