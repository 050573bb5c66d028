"""Batches: the events of one append, and the order in which they were read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from uuid import UUID

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Step
from harness.conformance.judged import judge
from harness.conformance.racing import Attempt
from harness.history import Kind
from harness.store import RecordedEvent


def in_batch_order(
    bench: Bench, attempts: Sequence[Attempt], recorded: Sequence[RecordedEvent], where: str
) -> None:
    """Raises `Broken` unless what was read has each batch as it was given, and together.

    Together, where the store declares that an append is written as one.
    """
    for each in attempts:
        given = [event.id for event in each.batch]
        found = [event for event in recorded if event.id in set(given)]
        if each.won and [event.id for event in found] != given:
            steps = [each.step(attempts), *other_order(given, found, where)]
            raise Broken(f"a batch stands in another order in {where}", steps)
    if bench.guarantees.atomic_append:
        judge(attempts, recorded, Kind.BATCH_BROKEN, Kind.TORN)


def other_order(given: Sequence[UUID], found: Sequence[RecordedEvent], where: str) -> list[Step]:
    """The first two events at which they part."""
    pairs = enumerate(zip_longest(given, (event.id for event in found)))
    at = next(number for number, (wanted, read) in pairs if wanted != read)
    told = [f"{event.id} at version {event.version}" for event in found[at : at + 2]]
    batch = [f"{number}: {given[number]}" for number in range(at, min(at + 2, len(given)))]
    return [
        Step("the batch", "has", ", then ".join(batch) or f"{len(given)} events"),
        Step("a reader", f"read its events in {where}", ", then ".join(told) or "no more of it"),
    ]
