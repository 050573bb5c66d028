"""Subscribers during the load: what each received, when, and whether it has caught up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from harness.domain.store import EventStore, RecordedEvent
from harness.domain.workload import Subscribing
from harness.load.column_buffer import ColumnBuffer
from harness.load.loops import Clock
from harness.load.recording_store import AppendRecorder

DELIVERY_COLUMNS = ("subscriber", "event", "stream", "version", "handled_ns")
QUIET_S = 2.5
"""Subscribers that receive nothing for this time have received all that they ever will."""
_LOOK_S = 0.05


class DeliveryRecorder:
    """Where one subscriber reports what it has handled."""

    def __init__(
        self, number: int, rows: ColumnBuffer, appends: AppendRecorder, clock: Clock
    ) -> None:
        self.count = 0
        self._number = number
        self._rows = rows
        self._appends = appends
        self._clock = clock

    def handled(self, event: RecordedEvent) -> None:
        """Stamp the time and record the delivery."""
        self.count += 1
        sequence = event.id.int - self._appends.base
        self._rows.add(
            self._number,
            sequence if 0 <= sequence < 1 << 62 else -1,
            self._appends.numbers[event.stream],
            event.version,
            self._clock(),
        )


class Subscribers:
    """The running subscribers of a trial; none for a workload that has none."""

    def __init__(
        self,
        workload: Subscribing | None,
        store: EventStore,
        rows: ColumnBuffer,
        appends: AppendRecorder,
        clock: Clock,
    ) -> None:
        self._workload, self._store = workload, store
        self._tasks: list[asyncio.Task[None]] = []
        self.deliveries: Sequence[DeliveryRecorder] = [
            DeliveryRecorder(number, rows, appends, clock)
            for number in range(workload.subscribers if workload else 0)
        ]

    def start(self) -> None:
        """Start every subscriber from the beginning."""
        if self._workload is not None:
            self._tasks = [
                asyncio.create_task(self._workload.follow(self._store, delivery))
                for delivery in self.deliveries
            ]

    async def caught_up(self, wanted: int, *, within_s: float) -> None:
        """Wait until every subscriber has `wanted` events, or nothing comes any more."""
        waited_s = quiet_s = 0.0
        seen = -1
        while self._is_missing_events(wanted) and waited_s < within_s and quiet_s < QUIET_S:
            self._raise_ended()
            total = sum(delivery.count for delivery in self.deliveries)
            quiet_s = quiet_s + _LOOK_S if total == seen else 0.0
            seen = total
            waited_s += _LOOK_S
            await asyncio.sleep(_LOOK_S)

    async def stop(self) -> None:
        """Cancel the subscribers; a bug in one of them is raised here. Safe to call twice."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    def _is_missing_events(self, wanted: int) -> bool:
        return any(delivery.count < wanted for delivery in self.deliveries)

    def _raise_ended(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()
