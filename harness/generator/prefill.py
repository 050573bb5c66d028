"""Filling the streams before a trial, through the same journal as everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.generator.client import Clock
from harness.generator.events import EventFactory
from harness.generator.journal import NOTHING, PREFILL_OP, AppendLog, Journal
from harness.generator.samples import SampleRows
from harness.outcome import Outcome
from harness.store import EventStore, StreamState

BATCH = 49
"""Events in one append: within the limit of every store that has one."""
APPENDERS = 16


@dataclass(frozen=True, slots=True)
class Prefiller:
    """Appends the same number of events to each stream, a few streams at a time."""

    store: EventStore
    factory: EventFactory
    appends: AppendLog
    samples: SampleRows
    clock: Clock

    async def fill(self, names: Sequence[str], length: int) -> int:
        """Append `length` events to each stream; how many were written in all.

        Raises the `StoreError` that a store answered: a trial cannot start half filled.
        """
        waiting = iter(names if length else ())
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(APPENDERS):
                    group.create_task(self._appender(waiting, length))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return len(names) * length

    async def _appender(self, waiting: Iterator[str], length: int) -> None:
        journal = Journal(self.store, self.appends, self.clock)
        for stream in waiting:
            for start in range(0, length, BATCH):
                await self._append(journal, stream, min(BATCH, length - start))

    async def _append(self, journal: Journal, stream: str, count: int) -> None:
        events = self.factory.new_events(count)
        sent_ns = self.clock()
        result = await journal.append(stream, events, expected=StreamState.ANY)
        journal.version = NOTHING
        self.samples.add_operation(
            PREFILL_OP,
            -1,
            sent_ns,
            sent_ns,
            sent_ns,
            self.clock(),
            Outcome.OK,
            1,
            count,
            self.appends.numbers[stream],
            events[0].id.int - self.appends.base,
            count,
            -1,
            result.version,
        )
