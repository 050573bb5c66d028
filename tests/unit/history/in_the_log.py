"""Faults of presence: events lost, doubled, changed, or there without right."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from harness.domain.expected_version import NO_STREAM
from harness.domain.outcome import Outcome
from harness.verification import FOREIGN, Kind

from .fault import Fault, Place, acknowledged, pick, place, told_place, writers, written
from .told import NAMES, NEVER_SENT, Attempt, Told

CERTAIN_NO = {Outcome.CONFLICT, Outcome.REFUSED, Outcome.TIMEOUT, Outcome.DROPPED}


def drop_an_acknowledged_event(told: Told, rng: Random) -> set[Place]:
    row = pick(rng, [row for row in acknowledged(told) if told_place(told, row)])
    told.log.remove(row)
    return {place(row)}


def tear_a_batch_of_unknown_outcome(told: Told, rng: Random) -> set[Place]:
    batches = [one for one in written(told) if one.count > 1]
    attempt = pick(rng, [one for one in batches if not told.certain(one.first)])
    rows = told.rows_of(attempt)
    told.log.remove(rows.pop(rng.randrange(len(rows))))
    return {place(row) for row in rows}


def read_an_event_twice(told: Told, rng: Random) -> set[Place]:
    row = pick(rng, told.log)
    told.log.insert(rng.randint(told.log.index(row) + 1, len(told.log)), replace(row))
    return {place(row)}


def write_a_copy(told: Told, rng: Random) -> set[Place]:
    row = pick(rng, [row for row in told.log if writers(told, row) == 1])
    told.append(rng.choice([*NAMES]), [row.event])
    return {place(told.log[-1])}


def write_a_retry_again(told: Told, rng: Random) -> set[Place]:
    row = pick(rng, [row for row in told.log if writers(told, row) > 1])
    told.append(row.stream, [row.event])
    return {place(told.log[-1])}


def write_a_refused_append(told: Told, rng: Random) -> set[Place]:
    refused = [
        (attempt.stream, event)
        for attempt in told.attempts
        for event in attempt.events
        if told.standing(event) <= CERTAIN_NO
    ]
    stream, event = pick(rng, refused)
    told.append(stream, [event])
    return {place(told.log[-1])}


def write_what_nobody_sent(told: Told, rng: Random) -> set[Place]:
    told.append(rng.choice([*NAMES]), [rng.choice([FOREIGN, NEVER_SENT])])
    return {place(told.log[-1])}


def overwrite_an_id(told: Told, rng: Random) -> set[Place]:
    row = pick(rng, told.log)
    row.event = rng.choice([FOREIGN, NEVER_SENT])
    return {place(row)}


def overwrite_a_payload(told: Told, rng: Random) -> set[Place]:
    row = pick(rng, told.log)
    row.intact = False
    return {place(row)}


def overwrite_one_event_with_another(told: Told, rng: Random) -> set[Place]:
    """Without a condition in the store two appends get one version, and the later one stays."""
    stream = rng.choice([*NAMES])
    head = told.head(stream)
    expected = head if head >= 0 else NO_STREAM
    for event in (NEVER_SENT, NEVER_SENT + 1):
        told.attempts.append(Attempt(99, stream, event, 1, expected, head + 1, Outcome.OK))
    told.append(stream, [NEVER_SENT + 1])
    return {(stream, head + 1, NEVER_SENT)}


IN_THE_LOG = (
    Fault(drop_an_acknowledged_event, Kind.LOST, frozenset({Kind.NOT_CONTIGUOUS})),
    Fault(tear_a_batch_of_unknown_outcome, Kind.TORN, frozenset({Kind.NOT_CONTIGUOUS})),
    Fault(read_an_event_twice, Kind.DUPLICATED),
    Fault(write_a_copy, Kind.DUPLICATED),
    Fault(write_a_retry_again, Kind.RETRY_DUPLICATED),
    Fault(write_a_refused_append, Kind.WRITTEN_THOUGH_REFUSED),
    Fault(write_what_nobody_sent, Kind.FOREIGN),
    # what stood there is gone too
    Fault(overwrite_an_id, Kind.FOREIGN, frozenset({Kind.LOST, Kind.TORN})),
    Fault(overwrite_a_payload, Kind.ALTERED),
    Fault(overwrite_one_event_with_another, Kind.LOST),
)
