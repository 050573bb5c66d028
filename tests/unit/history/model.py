"""Correct histories, made at random from a model of a store without fault."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from random import Random

from harness.domain.expected_version import ANY, EXISTS, NO_STREAM
from harness.domain.outcome import Outcome

from .told import NAMES, Attempt, Handed, Row, Told


def correct_history(
    rng: Random, operations: int, *, subscribers: int = 0, reads: bool = False
) -> Told:
    """Appends of every fate, and the log, stream reads and deliveries of a store without fault."""
    told = Told()
    model = _Model(told, rng)
    for op in range(operations):
        rng.choice(_FATES)(model, op)
    rng.shuffle(told.attempts)
    if reads:
        told.reads = {number: [row for row in told.log if row.stream == number] for number in NAMES}
    if subscribers:
        told.subscribers = subscribers
        told.handed = _deliveries(told, rng)
    return told


class _Model:
    """A store without fault: how each append may end, and what that leaves behind."""

    def __init__(self, told: Told, rng: Random) -> None:
        self._told = told
        self._rng = rng
        self._next = 0

    def acknowledged(self, op: int) -> None:
        self._write(self._send(op, Outcome.OK))

    def acknowledged_unplaced(self, op: int) -> None:
        self._write(self._send(op, Outcome.OK))
        self._told.attempts[-1].version = -1

    def acknowledged_twice(self, op: int) -> None:
        attempt = self._send(op, Outcome.OK)
        self._write(attempt)
        self._again(attempt, Outcome.OK)

    def unknown_written(self, op: int) -> None:
        self._write(self._send(op, self._rng.choice([Outcome.UNKNOWN, Outcome.UNFINISHED])))
        self._told.unknown_written += 1

    def unknown_lost(self, op: int) -> None:
        self._send(op, Outcome.UNKNOWN)
        self._told.unknown_lost += 1

    def written_then_acknowledged(self, op: int) -> None:
        attempt = self._send(op, Outcome.UNKNOWN)
        self._write(attempt)
        self._again(attempt, Outcome.OK, expected=self._told.head(attempt.stream))

    def lost_then_acknowledged(self, op: int) -> None:
        attempt = self._send(op, Outcome.UNKNOWN)
        again = self._again(attempt, Outcome.OK)
        self._write(again)

    def written_then_conflict(self, op: int) -> None:
        attempt = self._send(op, Outcome.UNKNOWN)
        self._write(attempt)
        self._again(attempt, Outcome.CONFLICT)
        self._told.unknown_written += 1
        self._told.refused_though_written += 1

    def written_then_found(self, op: int) -> None:
        attempt = self._send(op, Outcome.UNKNOWN)
        self._write(attempt)
        self._again(attempt, self._rng.choice([Outcome.CONFLICT, Outcome.UNKNOWN]))
        self._again(attempt, Outcome.FOUND)

    def refused_then_acknowledged(self, op: int) -> None:
        attempt = self._send(op, self._rng.choice([Outcome.REFUSED, Outcome.TIMEOUT]))
        self._write(self._again(attempt, Outcome.OK))

    def conflict(self, op: int) -> None:
        self._send(op, Outcome.CONFLICT).expected = self._rng.randint(-3, 30)

    def refused(self, op: int) -> None:
        self._send(op, self._rng.choice([Outcome.REFUSED, Outcome.TIMEOUT, Outcome.DROPPED]))

    def overlap_refused(self, op: int) -> None:
        attempt = self._send(op, Outcome.OK)
        self._write(attempt)
        again = self._again(attempt, Outcome.REFUSED)
        again.first, again.count = attempt.first + attempt.count - 1, 3
        self._next = again.first + again.count

    def empty(self, op: int) -> None:
        attempt = self._send(op, Outcome.REFUSED)
        attempt.first, attempt.count = -1, 0

    def _send(self, op: int, outcome: Outcome) -> Attempt:
        stream, count = self._rng.choice([*NAMES]), self._rng.randint(1, 4)
        head = self._told.head(stream)
        expected = self._rng.choice([ANY, NO_STREAM] if head < 0 else [ANY, EXISTS, head, head])
        attempt = Attempt(op, stream, self._next, count, expected, -1, outcome)
        self._next += count + self._rng.choice([0, 0, 1000])
        self._told.attempts.append(attempt)
        return attempt

    def _again(self, attempt: Attempt, outcome: Outcome, expected: int | None = None) -> Attempt:
        """The same events once more; an idempotent store answers with where they are."""
        rows = self._told.rows_of(attempt)
        known = outcome in {Outcome.OK, Outcome.FOUND}
        version = rows[-1].version if rows and known else -1
        again = Attempt(
            attempt.op,
            attempt.stream,
            attempt.first,
            attempt.count,
            attempt.expected if expected is None else expected,
            version,
            outcome,
        )
        self._told.attempts.append(again)
        return again

    def _write(self, attempt: Attempt) -> None:
        self._told.append(attempt.stream, attempt.events)
        if attempt.outcome is Outcome.OK:
            attempt.version = self._told.head(attempt.stream)


_FATES: Sequence[Callable[[_Model, int], None]] = [
    *[_Model.acknowledged] * 6,
    _Model.acknowledged_unplaced,
    _Model.acknowledged_twice,
    _Model.unknown_written,
    _Model.unknown_lost,
    _Model.written_then_acknowledged,
    _Model.lost_then_acknowledged,
    _Model.written_then_conflict,
    _Model.written_then_found,
    _Model.refused_then_acknowledged,
    _Model.conflict,
    _Model.refused,
    _Model.overlap_refused,
    _Model.empty,
]


def _deliveries(told: Told, rng: Random) -> list[Handed]:
    """Each subscriber gets everything, streams interleaved anyhow, subscribers too."""
    waiting = {
        (subscriber, stream): rows
        for subscriber in range(told.subscribers)
        for stream, rows in _by_stream(_certain_to_arrive(told, rng)).items()
    }
    handed = []
    while waiting:
        subscriber, stream = key = rng.choice([*waiting])
        row = waiting[key].pop(0)
        handed.append(Handed(subscriber, row.event, stream, row.version))
        if not waiting[key]:
            del waiting[key]
    return handed


def _certain_to_arrive(told: Told, rng: Random) -> list[Row]:
    """The log, perhaps without a tail of unknown outcome, written after subscribers stopped."""
    rows = list(told.log)
    while rows and not told.certain(rows[-1].event) and rng.random() < 0.5:
        rows.pop()
    return rows


def _by_stream(rows: Sequence[Row]) -> Mapping[int, list[Row]]:
    streams = defaultdict(list)
    for row in rows:
        streams[row.stream].append(row)
    return streams
