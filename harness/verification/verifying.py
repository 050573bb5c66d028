"""The whole verification: read a store back, run every check, count the violations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np

from harness.domain.boundaries import TAGGED
from harness.domain.store import EventStore, Guarantees
from harness.results.sorted_rows import Scratch, Sizes, SortedRows
from harness.verification import places, rules
from harness.verification.columns import Appends, Deliveries, Log, StreamReads
from harness.verification.evidence import Evidence, Standing, match
from harness.verification.history import NOTHING_FOUND, EventPart, History
from harness.verification.reading import DataOf, Reader
from harness.verification.staleness import Readings, judge_reads
from harness.verification.subscribers import Subscribers
from harness.verification.violations import Verification, Violations

GlobalOrder = Literal["total", "per-partition", "none"]
Check = Callable[[Evidence, Violations], None]

RULES: tuple[Check, ...] = (
    rules.lost,
    rules.duplicated,
    rules.unexpected,
    rules.altered,
    rules.expected_versions,
    rules.whole_batches,
    rules.acknowledged_places,
)
_STREAM_BITS = 40


async def verify(
    store: EventStore,
    *,
    appends: Iterable[Appends],
    deliveries: Iterable[Deliveries] | None,
    streams: Sequence[str],
    base: int,
    data_of: DataOf,
    guarantees: Guarantees,
    streams_max: int,
    rng: Random,
    folder: Path | None = None,
    readings: Readings | None = None,
) -> Verification:
    """Read everything back and check it against what was sent.

    `streams` are the names of the stream numbers in the columns. At most `streams_max`
    of them, drawn by `rng`, are also read one by one. No client may append meanwhile,
    except for appends of unknown outcome. What does not stay in memory goes to `folder`.
    `readings` are what clients saw meanwhile, where appends tell their versions.
    Raises `StoreError` if the store cannot be read, `LabError` where the disk is full.
    """
    with Scratch(folder) as scratch:
        history = History(scratch)
        reader = Reader(
            store, base=base, streams=streams, data_of=data_of, payload=guarantees.payload
        )
        history.names, history.foreign = reader.names, reader.foreign
        for sent in appends:
            history.add_appends(sent)
        await reader.read_log(history.add_log)
        wanted = [n for n in history.streams if reader.names[n] != TAGGED]
        chosen = wanted if len(wanted) <= streams_max else sorted(rng.sample(wanted, streams_max))
        for stream in chosen:
            await reader.read_stream(stream, history.add_read)
        for received in deliveries or ():
            history.add_deliveries(received)
        return _judged(
            history,
            base=base,
            with_subscribers=deliveries is not None,
            global_order=guarantees.global_order,
            readings=readings if guarantees.tells_version else None,
        )


def check(
    appends: Appends,
    log: Log,
    *,
    base: int,
    deliveries: Deliveries | None = None,
    reads: StreamReads | None = None,
    global_order: GlobalOrder = "total",
    sizes: Sizes | None = None,
) -> Verification:
    """Apply the rules to what was read before. Order is judged as far as it is declared."""
    with Scratch(sizes=sizes) as scratch:
        history = History(scratch)
        history.names, history.foreign = dict(log.names), dict(log.foreign)
        history.add_appends(appends)
        history.add_log(log)
        if reads is not None:
            history.add_reads(reads)
        if deliveries is not None:
            history.add_deliveries(deliveries)
        return _judged(
            history,
            base=base,
            with_subscribers=deliveries is not None,
            global_order=global_order,
        )


def _judged(
    history: History,
    *,
    base: int,
    with_subscribers: bool,
    global_order: GlobalOrder,
    readings: Readings | None = None,
) -> Verification:
    violations = Violations(base=base, names=history.names, foreign=history.foreign)
    total_order = global_order == "total"
    numbers = history.subscribers if with_subscribers else []
    subscribers = Subscribers(numbers, history.scratch, total_order=total_order)
    landed = history.scratch.rows(2)
    written, lost, refused = _judge_events(history, subscribers, landed, violations)
    _judge_places(history, subscribers, violations, global_order)
    subscribers.rest(violations)
    places.streams_agree(history, landed, violations)
    staleness = judge_reads(readings, history.scratch, violations) if readings else None
    return Verification(
        violations=tuple(violations.examples),
        counts=violations.counts,
        unknown_written=written,
        unknown_lost=lost,
        streams_read=len(history.streams_read),
        streams_total=len(history.streams),
        events_read=history.events_read,
        refused_though_written=refused,
        staleness=staleness,
        lost_events=violations.lost_events,
    )


def _judge_events(
    history: History, subscribers: Subscribers, landed: SortedRows, violations: Violations
) -> tuple[int, int, int]:
    """The rules of events; how many appends of unknown outcome were written, and how many lost.

    And how many of those written had a retry that was refused.
    """
    written = lost = refused = 0
    for part in history.event_parts():
        evidence = Evidence.of(part.sent, part.found)
        for one in RULES:
            one(evidence, violations)
        there, missing = rules.unknown_resolved(evidence, violations)
        written, lost = written + there, lost + missing
        refused += rules.refused_though_written(evidence)
        _add_landed(part, evidence, landed)
        received = part.received
        rows = evidence.find(received.stream, received.version, received.event)
        subscribers.judge(evidence.log, evidence.unknown, received, rows, violations)
    return written, lost, refused


def _add_landed(part: EventPart, evidence: Evidence, landed: SortedRows) -> None:
    """Events of unknown outcome that were written between the global read and the stream's."""
    event, key, stream = part.read_alone.T
    sent = evidence.ledger.find(event)
    since = sent >= 0
    since[since] = evidence.ledger.standing[sent[since]] == Standing.UNKNOWN
    known = evidence.sent >= 0
    there = (evidence.sent[known] << _STREAM_BITS) + evidence.log.stream[known]
    since &= ~np.isin((sent << _STREAM_BITS) + stream, there)
    landed.add(stream[since], key[since])


def _judge_places(
    history: History,
    subscribers: Subscribers,
    violations: Violations,
    global_order: GlobalOrder,
) -> None:
    before, disordered = NOTHING_FOUND, [np.empty(0, np.int64)]
    for part in history.place_parts():
        found = part.found
        places.read_again(part.again, violations)
        places.foreign(found, violations)
        places.contiguous(found, violations, before=before)
        if global_order == "total":
            places.positions_increase(found, violations)
        disordered.append(places.disordered(found, before))
        foreign = found.take(found.event < 0)
        received = part.received
        rows = match(foreign, received.stream, received.version, received.event)
        unknown = np.zeros(len(foreign), np.bool_)
        subscribers.judge(foreign, unknown, received, rows, violations)
        before = found.take(slice(-1, None)) if len(found) else before
    if global_order != "none":
        places.stream_order(history, np.unique(np.concatenate(disordered)), violations)
