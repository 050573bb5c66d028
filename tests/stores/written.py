"""A small load and its journal: what verification is given, made without the generator."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from random import Random

import numpy as np

from harness.domain.errors import StoreError
from harness.domain.expected_version import ANY, NO_STREAM, from_code
from harness.domain.identity import event_id, id_base, sequence_of
from harness.domain.outcome import Outcome, outcome_of
from harness.domain.store import EventStore, Guarantees, NewEvent
from harness.verification import Appends, Deliveries, Verification, verify

BASE = id_base("a small load")
STREAMS = [f"order-{number}" for number in range(5)]


def data_of(sequence: int) -> bytes:
    """The payload that goes with a sequence number."""
    return b'{"order":%d,"note":"as written"}' % sequence


@dataclass(slots=True)
class Load:
    """Writers append batches to a few streams, half of them with the version they last knew.

    After a conflict they append the same events again, whatever the version: all are written.
    """

    store: EventStore
    rng: Random = field(default_factory=lambda: Random("a small load"))
    rows: list[tuple[int, ...]] = field(default_factory=list)
    heads: dict[int, int] = field(default_factory=dict)
    sent: int = 0

    async def run(self, *, events: int, writers: int = 8) -> None:
        """Append at least so many events, the writers side by side."""
        await asyncio.gather(*(self._writer(events) for _ in range(writers)))

    async def _writer(self, events: int) -> None:
        while self.sent < events:
            stream, count = self.rng.randrange(len(STREAMS)), self.rng.randint(1, 5)
            first, self.sent = self.sent, self.sent + count
            known = self.heads.get(stream, NO_STREAM)
            outcome = await self._append(stream, first, count, self.rng.choice([ANY, known]))
            if outcome is Outcome.CONFLICT:
                await self._append(stream, first, count, ANY)

    async def _append(self, stream: int, first: int, count: int, expected: int) -> Outcome:
        version, outcome = await self._outcome(stream, first, count, expected)
        self.rows.append((len(self.rows), stream, first, count, expected, version, outcome))
        if version >= 0:
            self.heads[stream] = max(self.heads.get(stream, -1), version)
        return outcome

    async def _outcome(
        self, stream: int, first: int, count: int, expected: int
    ) -> tuple[int, Outcome]:
        events = [
            NewEvent(event_id(BASE, sequence), "OrderPlaced", data_of(sequence))
            for sequence in range(first, first + count)
        ]
        try:
            result = await self.store.append(STREAMS[stream], events, expected=from_code(expected))
        except StoreError as error:
            return -1, outcome_of(error)
        return result.version, Outcome.OK

    @property
    def appends(self) -> Appends:
        """The journal."""
        return Appends(*np.array(self.rows, np.int64).reshape(-1, 7).T)

    async def deliveries(self, count: int) -> Deliveries:
        """The first so many events that a subscriber from the beginning is handed."""
        rows = []
        async with aclosing(self.store.subscribe()) as events:
            while len(rows) < count:
                event = await anext(events)
                sequence = sequence_of(BASE, event.id)
                rows.append((0, sequence, STREAMS.index(event.stream), event.version))
        return Deliveries(*np.array(rows, np.int64).reshape(-1, 4).T, subscribers=1)

    async def verification(
        self,
        guarantees: Guarantees,
        *,
        deliveries: Deliveries | None = None,
        streams: Sequence[str] = STREAMS,
        streams_max: int = len(STREAMS),
    ) -> Verification:
        """What is found in the store now."""
        return await verify(
            self.store,
            appends=[self.appends],
            deliveries=None if deliveries is None else [deliveries],
            streams=streams,
            base=BASE,
            data_of=data_of,
            guarantees=guarantees,
            streams_max=streams_max,
            rng=self.rng,
        )
