"""`dynamodb:sequenced`: one writer a process puts waiting appends into one transaction a time.

The transaction moves the log's head, writes each event into its stream and a copy of it into
the log: the log is dense, and its order is that of the transactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.errors import EventIdReused
from harness.store import AppendResult, ExpectedVersion, Guarantees, NewEvent, Position
from harness.stores.dynamodb import items
from harness.stores.dynamodb.log_reading import LogReading
from harness.stores.dynamodb.options import DynamoOptions
from harness.stores.dynamodb.sequencing import BYTES_MAX, EVENTS_MAX, Sequencer
from harness.stores.dynamodb.session import Session


class Sequenced(LogReading):
    """Streams' heads are kept in memory; the log's head tells when they are out of date."""

    batch_limit = EVENTS_MAX

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._sequencer = Sequencer(self, session)

    @classmethod
    def declares(cls, options: DynamoOptions) -> Guarantees:
        """A total order, for one process that writes."""
        return replace(
            super().declares(options),
            occ="emulated",
            occ_note="checked in the sequencer's memory, fenced by the log's head",
            global_order="total",
            gap_free_read=True,
            subscription="poll",
            writers="one",
        )

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Join the next transaction and wait for this append's own answer."""
        items.check_expected(expected)
        items.check(stream, events, events_max=self.batch_limit, bytes_max=BYTES_MAX)
        answer = await self._sequencer.append(stream, events, expected)
        if answer.position is not None:
            return AppendResult(answer.version, Position((answer.position,)))
        return await self._written_before(stream, events, answer.version)

    async def _written_before(
        self, stream: str, events: Sequence[NewEvent], version: int
    ) -> AppendResult:
        first = version + 1 - len(events)
        if not await self.stand_at(stream, first, events):
            raise EventIdReused(f"stream {stream!r}: an event id was written before, differently")
        last = await anext(self.read_stream(stream, start=version, limit=1))
        return AppendResult(version, last.position)

    async def aclose(self) -> None:
        """End the sequencer, then close every connection."""
        await self._sequencer.aclose()
        await super().aclose()
