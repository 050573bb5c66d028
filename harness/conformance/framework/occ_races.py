"""Races of optimistic concurrency: exactly one of the appends with one expected version wins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import chain

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import Broken
from harness.conformance.framework.check_workers import Rendezvous
from harness.conformance.framework.history_oracle import require_history
from harness.conformance.framework.races import (
    CONNECTIONS,
    PROCESS_ROUNDS,
    Attempt,
    all_answered,
    attempt,
    count_overlaps_between,
    process_events,
    race,
)
from harness.domain.store import Adapter, ExpectedVersion, StreamState
from harness.verification import Kind

SIZES = ((1, 3), (4, 15), (16, 40))
"""Events of an append, drawn from these ranges in turn."""
RACES_IN_A_ROW = 4
"""On one stream in this process: the first at NO_STREAM, the others at its version."""
PROCESS_STREAMS = PROCESS_ROUNDS // len(SIZES)
NO_STREAM = StreamState.NO_STREAM
SHOWN = 2
"""Racers in the evidence: two winners are one too many."""


async def occ_races(context: CheckContext) -> AsyncIterator[list[Attempt]]:
    """Races over several connections, at NO_STREAM and then at versions that exist."""
    stores = await context.writers(CONNECTIONS)
    expected: ExpectedVersion = NO_STREAM
    stream, decided = "", False
    for number in context.rounds():
        if number % RACES_IN_A_ROW == 0 or not decided:
            stream, expected = context.stream(), NO_STREAM
        size = batch_size(context, number)
        attempts = await race(context, stores, stream, expected, size=size)
        yield attempts
        expected = version_after(attempts[0])
        decided = sum(each.won for each in attempts) == 1


def batch_size(context: CheckContext, number: int) -> int:
    """The drawn size of append `number`, within the store's limit."""
    size = context.rng.randint(*SIZES[number % len(SIZES)])
    return min(size, context.guarantees.batch_limit or size)


async def occ_races_in_process(
    store: Adapter, rendezvous: Rendezvous, number: int, sizes: Mapping[str, Sequence[int]]
) -> list[Attempt]:
    """One process's part: it races the others for each next version of each stream.

    `sizes` has for each stream the events of each append to it.
    """
    attempts = []
    for stream, in_stream in sizes.items():
        expected: ExpectedVersion = NO_STREAM
        for turn, size in enumerate(in_stream):
            batch = process_events(f"{stream}/{number}/{turn}", size)
            await rendezvous()
            mine = await attempt(f"process {number}", store, stream, batch, expected)
            attempts.append(mine)
            expected = version_after(mine)
    return attempts


def version_after(attempt: Attempt) -> int:
    """The stream's version after an attempt like this one has won."""
    before = attempt.expected if isinstance(attempt.expected, int) else -1
    return before + len(attempt.batch)


async def occ_races_between_processes(context: CheckContext) -> None:
    """Raises `Broken` unless one process wins each race and the others leave nothing."""
    sizes = {
        context.stream(): [batch_size(context, first + turn) for turn in range(len(SIZES))]
        for first in range(PROCESS_STREAMS)
    }
    by_process = await context.in_processes(occ_races_in_process, sizes)
    undecided = set[str]()
    for attempts in zip(*by_process, strict=True):
        stream = attempts[0].stream
        if stream not in undecided and not has_one_winner(attempts):
            undecided.add(stream)  # so the version at the next race is unknown
    all_attempts = list(chain.from_iterable(by_process))
    for stream in sizes:
        await losers_left_nothing(context, [each for each in all_attempts if each.stream == stream])
    count_overlaps_between(context, by_process)


def has_one_winner(attempts: Sequence[Attempt]) -> bool:
    """Whether one is known to have won. Raises `Broken` if several won, or certainly none."""
    won = [each for each in attempts if each.won]
    if not won and not all_answered(attempts):
        return False
    if len(won) != 1:
        shown = (won or attempts)[:SHOWN]
        raise Broken(
            f"{len(won)} of {len(attempts)} racers won", [each.step(attempts) for each in shown]
        )
    return True


async def losers_left_nothing(context: CheckContext, attempts: Sequence[Attempt]) -> None:
    """Raises `Broken` if a stream has an event of a loser, or one in an unexpected place."""
    recorded = await context.read_or_empty(attempts[0].stream)
    require_history(attempts, recorded, Kind.EXPECTED_VERSION_IGNORED, Kind.WRITTEN_THOUGH_REFUSED)
