"""Contests: races that one append alone may win, on a stream that grows from race to race."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from itertools import chain

from harness.conformance.bench import Bench
from harness.conformance.check import Broken
from harness.conformance.crew import Meet
from harness.conformance.judged import judge
from harness.conformance.racing import (
    CONNECTIONS,
    PROCESS_ROUNDS,
    Attempt,
    answered,
    attempt,
    enough_between,
    process_events,
    race,
)
from harness.errors import StreamNotFound
from harness.history import Kind
from harness.store import Adapter, ExpectedVersion, RecordedEvent, StreamState

SIZES = (1, 2, 3)
"""Events of an append, in turn."""
IN_A_ROW = 4
"""Races for one stream in this process: the first at NO_STREAM, the others at its version."""
PROCESS_STREAMS = PROCESS_ROUNDS // len(SIZES)
NO_STREAM = StreamState.NO_STREAM
SHOWN = 2
"""Racers in the evidence: two winners are one too many."""


async def contests(bench: Bench) -> AsyncIterator[list[Attempt]]:
    """Races over several connections, at NO_STREAM and then at versions that exist."""
    stores = await bench.writers(CONNECTIONS)
    expected: ExpectedVersion = NO_STREAM
    stream, goes_on = "", False
    for number in bench.rounds():
        if number % IN_A_ROW == 0 or not goes_on:
            stream, expected = bench.stream(), NO_STREAM
        size = SIZES[number % len(SIZES)]
        attempts = await race(bench, stores, stream, expected, size=size)
        yield attempts
        expected = head_after(attempts[0])
        goes_on = sum(each.won for each in attempts) == 1


async def contest_alone(
    store: Adapter, meet: Meet, number: int, streams: Sequence[str]
) -> list[Attempt]:
    """One process's part: for each stream it races the others to each next version."""
    attempts = []
    for stream in streams:
        expected: ExpectedVersion = NO_STREAM
        for size in SIZES:
            batch = process_events(f"{stream}/{number}/{size}", size)
            await meet()
            mine = await attempt(f"process {number}", store, stream, batch, expected)
            attempts.append(mine)
            expected = head_after(mine)
    return attempts


def head_after(contestant: Attempt) -> int:
    """The stream's version once one of those that expect the same, and are as large, has won."""
    before = contestant.expected if isinstance(contestant.expected, int) else -1
    return before + len(contestant.batch)


async def contest_between_processes(bench: Bench) -> None:
    """Of the processes of the crew one wins each race, and the others leave nothing."""
    streams = [bench.stream() for _ in range(PROCESS_STREAMS)]
    by_process = await bench.in_processes(contest_alone, streams)
    undecided = set[str]()
    for attempts in zip(*by_process, strict=True):
        stream = attempts[0].stream
        if stream not in undecided and not decided(attempts):
            undecided.add(stream)  # nobody knows at which version the next race found it
    everybody = list(chain.from_iterable(by_process))
    for stream in streams:
        await losers_left_nothing(bench, [each for each in everybody if each.stream == stream])
    enough_between(by_process)


def decided(attempts: Sequence[Attempt]) -> bool:
    """Whether one is known to have won. Raises `Broken` if there are more, or certainly none."""
    won = [each for each in attempts if each.won]
    if not won and not answered(attempts):
        return False
    if len(won) != 1:
        shown = (won or attempts)[:SHOWN]
        raise Broken(
            f"{len(won)} of {len(attempts)} racers won", [each.step(attempts) for each in shown]
        )
    return True


async def losers_left_nothing(bench: Bench, attempts: Sequence[Attempt]) -> None:
    """What is there of these, in one stream, won and stands where it was expected to."""
    recorded = await there(bench, attempts[0].stream)
    judge(attempts, recorded, Kind.EXPECTED_VERSION_IGNORED, Kind.WRITTEN_THOUGH_REFUSED)


async def there(bench: Bench, stream: str) -> list[RecordedEvent]:
    """The stream, empty where it may be missing."""
    try:
        return await bench.read(stream)
    except StreamNotFound:
        return []
