"""Reads what the work costs, at both ends of the measured window."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from harness.costs import GENERATOR_CPU_S, Bill, Costed, Counted, Counts
from harness.errors import StoreError
from harness.store import EventStore

_LOG = logging.getLogger(__name__)

ServerCounts = Callable[[], Counts]
"""What is seen of the server from outside; quick, since the window waits for it."""


class Meter:
    """Asks the store and the server's surroundings; what does not answer is left out.

    Slow questions are asked farther from the window than CPU times, so that these don't hold
    the cost of counting.
    """

    def __init__(self, store: EventStore, server_counts: ServerCounts = dict) -> None:
        self._store = store
        self._server_counts = server_counts
        self._before: Counts = {}

    async def begin(self) -> None:
        """Bring the store to rest, then read everything."""
        counts = await self._counts(settled=True)
        self._before = {**counts, **self._from_here()}

    async def end(self) -> Bill:
        """Read everything again."""
        here = self._from_here()
        return Bill(self._before, {**await self._counts(settled=False), **here})

    async def _counts(self, *, settled: bool) -> Counts:
        if not isinstance(self._store, Counted):
            return {}
        try:
            if settled:
                await self._store.settle()
            return await self._store.counts()
        except StoreError as error:
            _LOG.info("costs are not counted: %s", error)
            return {}

    def _from_here(self) -> Counts:
        costs = self._store.costs() if isinstance(self._store, Costed) else {}
        return {GENERATOR_CPU_S: time.process_time(), **costs, **self._server_counts()}
