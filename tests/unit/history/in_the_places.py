"""Faults of placement and order: versions, batches, expectations, the global read."""

from __future__ import annotations

from random import Random

from harness.domain.expected_version import ANY, EXISTS, NO_STREAM
from harness.verification import Kind

from .fault import (
    Fault,
    Place,
    acknowledged,
    alone,
    pick,
    place,
    placed,
    told_place,
    tried_once,
    written,
)
from .told import NAMES, Row, Told

SHIFTED = frozenset({Kind.MISPLACED, Kind.EXPECTED_VERSION_IGNORED})


def leave_a_gap(told: Told, rng: Random) -> set[Place]:
    """A stream is one version higher from one append on, and every answer says so."""
    attempt = pick(rng, [one for one in placed(told) if tried_once(told, one)])
    start = attempt.version - attempt.count + 1
    for other in told.attempts:
        if other.stream == attempt.stream:
            other.version += other.version >= start
            other.expected += other.expected >= max(start - 1, 0)
    for row in told.log:
        row.version += row.stream == attempt.stream and row.version >= start
    if attempt.expected == NO_STREAM:
        attempt.expected = ANY
    return {(attempt.stream, start + 1, attempt.first)}


def turn_a_batch_round(told: Told, rng: Random) -> set[Place]:
    rows = told.rows_of(pick(rng, [one for one in written(told) if one.count > 1]))
    for row, event in zip(rows, reversed([row.event for row in rows]), strict=True):
        row.event = event
    return {place(row) for row in rows}


def interleave_two_batches(told: Told, rng: Random) -> set[Place]:
    """a1 a2 b1 b2 is written as a1 b1 a2 b2."""
    pairs = [
        (first, second)
        for first in written(told)
        for second in written(told)
        if first.count > 1 and first.stream == second.stream
        if told.rows_of(second)[0].version == told.rows_of(first)[-1].version + 1
    ]
    first, second = pick(rng, pairs)
    last, behind = told.rows_of(first)[-1], told.rows_of(second)[0]
    last.event, behind.event = behind.event, last.event
    return {place(row) for row in (*told.rows_of(first), *told.rows_of(second))}


def move_an_event_to_another_stream(told: Told, rng: Random) -> set[Place]:
    """The last event of its stream, alone in its append."""
    last = [row for row in acknowledged(told) if row.version == told.head(row.stream)]
    row = pick(rng, [row for row in last if told_place(told, row) and alone(told, row)])
    told.log.remove(row)
    told.append(rng.choice([number for number in NAMES if number != row.stream]), [row.event])
    return {place(told.log[-1])}


def acknowledge_another_version(told: Told, rng: Random) -> set[Place]:
    attempt = pick(rng, placed(told))
    attempt.version += rng.choice([-1, 1]) if attempt.version else 1
    return {place(told.rows_of(attempt)[-1])}


def ignore_an_expected_version(told: Told, rng: Random) -> set[Place]:
    attempt = pick(rng, [one for one in written(told) if tried_once(told, one)])
    first = told.rows_of(attempt)[0]
    right = {first.version - 1, NO_STREAM if first.version == 0 else EXISTS}
    attempt.expected = rng.choice(sorted({NO_STREAM, EXISTS, 0, 1, 2, 99} - right))
    return {place(first)}


def invert_two_events_of_a_stream(told: Told, rng: Random) -> set[Place]:
    """The store itself put them so: positions still grow."""
    first, second = _neighbours(told, rng, same_stream=True)
    first.version, second.version = second.version, first.version
    first.event, second.event = second.event, first.event
    return {place(second)}


def read_two_events_in_the_wrong_order(told: Told, rng: Random) -> set[Place]:
    """Of different streams: nothing but their positions can tell."""
    first, second = _neighbours(told, rng, same_stream=False)
    index = told.log.index(first)
    told.log[index : index + 2] = second, first
    return {place(first)}


def _neighbours(told: Told, rng: Random, *, same_stream: bool) -> tuple[Row, Row]:
    """Two rows next to each other in the log, of one stream or of two."""
    pairs = zip(told.log, told.log[1:], strict=False)
    return pick(rng, [(a, b) for a, b in pairs if (a.stream == b.stream) == same_stream])


IN_THE_PLACES = (
    Fault(leave_a_gap, Kind.NOT_CONTIGUOUS),
    Fault(turn_a_batch_round, Kind.BATCH_BROKEN, SHIFTED),
    Fault(interleave_two_batches, Kind.BATCH_BROKEN, SHIFTED),
    Fault(
        move_an_event_to_another_stream,
        Kind.MISPLACED,
        frozenset({Kind.EXPECTED_VERSION_IGNORED}),
    ),
    Fault(acknowledge_another_version, Kind.MISPLACED),
    Fault(ignore_an_expected_version, Kind.EXPECTED_VERSION_IGNORED),
    Fault(invert_two_events_of_a_stream, Kind.INVERTED),
    Fault(read_two_events_in_the_wrong_order, Kind.POSITION_NOT_INCREASING),
)
