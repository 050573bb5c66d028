"""Appends that expect what is not so, alone and racing: nothing makes room for them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from harness.conformance.bench import Bench
from harness.conformance.check import Unsupported
from harness.conformance.contests import SIZES, there
from harness.conformance.judged import judge
from harness.conformance.racing import Attempt, attempt, race
from harness.history import Kind
from harness.store import Adapter, StreamState

ANY, NO_STREAM, EXISTS = StreamState.ANY, StreamState.NO_STREAM, StreamState.EXISTS
RACED = ((ANY, 0), (NO_STREAM, 0), (0, 0), (0, 1))
"""What racers expect, and of how many events: right, right for one, beyond the head, and right."""


async def one_by_one(bench: Bench, store: Adapter) -> list[Attempt]:
    """Expectations that are right and wrong, one after the other, on one stream."""
    stream, attempts = bench.stream(), list[Attempt]()
    for expected in (ANY, 0, 0, NO_STREAM, 1, EXISTS, ANY):
        with suppress(Unsupported):
            attempts.append(await attempt("the writer", store, stream, bench.events(), expected))
    return attempts


async def over_each_other(bench: Bench, stores: Sequence[Adapter], number: int) -> list[Attempt]:
    """A race on a new stream; under ANY where the store takes no expectations."""
    expected, before = RACED[number % len(RACED)]
    size = SIZES[number % len(SIZES)]
    stream = bench.stream()
    if before:
        await bench.append(stream, bench.events(before))
    try:
        return await race(bench, stores, stream, expected, size=size)
    except Unsupported:
        return await race(bench, stores, bench.stream(), ANY, size=size)


async def kept(bench: Bench, attempts: Sequence[Attempt]) -> None:
    """What was acknowledged is where it was acknowledged, what was refused is nowhere."""
    recorded = await there(bench, attempts[0].stream)
    judge(attempts, recorded, Kind.LOST, Kind.MISPLACED, Kind.WRITTEN_THOUGH_REFUSED)
