"""Everything that is known of a trial, as rows that a test may change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from harness.domain.identity import id_base
from harness.domain.outcome import Outcome
from harness.verification import Appends, Deliveries, Log, StreamReads, Verification, check

BASE = id_base("a history made up")
NAMES = {0: "order-0", 1: "order-1", 2: "cart-0"}
NEVER_SENT = 1 << 40
"""A sequence number that no append of the model uses."""


@dataclass(slots=True)
class Attempt:
    """A row of `Appends`."""

    op: int
    stream: int
    first: int
    count: int
    expected: int
    version: int
    outcome: Outcome

    @property
    def events(self) -> range:
        """The sequence numbers of its events."""
        return range(self.first, self.first + self.count)


@dataclass(slots=True)
class Row:
    """A row of `Log`."""

    stream: int
    version: int
    event: int
    position: int
    intact: bool = True


@dataclass(slots=True)
class Handed:
    """A row of `Deliveries`."""

    subscriber: int
    event: int
    stream: int
    version: int


@dataclass(slots=True)
class Told:
    """A whole trial; `verification` tells what is found in it."""

    attempts: list[Attempt] = field(default_factory=list)
    log: list[Row] = field(default_factory=list)
    reads: dict[int, list[Row]] = field(default_factory=dict)
    handed: list[Handed] | None = None
    subscribers: int = 0
    unknown_written: int = 0
    refused_though_written: int = 0
    unknown_lost: int = 0

    def verification(self, **how) -> Verification:
        """What is found."""
        return check(
            Appends(**_columns(Attempt, self.attempts)),
            _log(self.log),
            base=BASE,
            deliveries=self._deliveries(),
            reads=self._stream_reads() if self.reads else None,
            **how,
        )

    def standing(self, event: int) -> set[Outcome]:
        """The outcomes of the attempts that sent an event."""
        return {attempt.outcome for attempt in self.attempts if event in attempt.events}

    def certain(self, event: int) -> bool:
        """Whether an attempt to write it was acknowledged, or found by reading."""
        return bool(self.standing(event) & {Outcome.OK, Outcome.FOUND})

    def rows_of(self, attempt: Attempt) -> list[Row]:
        """Where an attempt's events are in the log."""
        return [row for row in self.log if row.event in attempt.events]

    def head(self, stream: int) -> int:
        """The version of the stream's last event, or -1."""
        return max((row.version for row in self.log if row.stream == stream), default=-1)

    def append(self, stream: int, events: Iterable[int]) -> None:
        """Write events at the end of the log."""
        for event in events:
            position = self.log[-1].position + 1 if self.log else 0
            self.log.append(Row(stream, self.head(stream) + 1, event, position))

    def _deliveries(self) -> Deliveries | None:
        if self.handed is None:
            return None
        return Deliveries(**_columns(Handed, self.handed), subscribers=self.subscribers)

    def _stream_reads(self) -> StreamReads:
        bounds = np.cumsum([0, *(len(rows) for rows in self.reads.values())])
        rows = [row for rows in self.reads.values() for row in rows]
        return StreamReads(np.array([*self.reads], np.int64), bounds, _log(rows))


def _log(rows: Sequence[Row]) -> Log:
    position = np.array([row.position for row in rows], np.int64)
    return Log(
        stream=np.array([row.stream for row in rows], np.int64),
        version=np.array([row.version for row in rows], np.int64),
        event=np.array([row.event for row in rows], np.int64),
        intact=np.array([row.intact for row in rows], np.bool_),
        ascending=np.diff(position, prepend=-1) > 0,
        names=NAMES,
    )


def _columns(table: type, rows: Sequence) -> dict[str, np.ndarray]:
    return {
        column.name: np.array([getattr(row, column.name) for row in rows], np.int64)
        for column in fields(table)
    }
