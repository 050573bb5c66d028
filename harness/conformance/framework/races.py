"""Races: many appends released at once, and whether they really overlapped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from random import Random
from typing import Protocol, TypeVar
from uuid import UUID

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import (
    Step,
    Unsupported,
    describe_answer,
    is_decision,
)
from harness.conformance.framework.check_workers import Rendezvous
from harness.domain.cancellation import raise_if_cancelled
from harness.domain.errors import OutcomeUnknown, StoreError, UnsupportedByStore
from harness.domain.expected_version import spelled
from harness.domain.store import (
    Adapter,
    AppendResult,
    EventStore,
    ExpectedVersion,
    NewEvent,
    StreamState,
)

RACERS = 16
CONNECTIONS = 4
RACES_PER_STREAM = 8
"""Also the number of streams, where races take streams in turn."""
PROCESS_ROUNDS = 40
"""Appends of each process."""
OVERLAPS_MIN = 10
"""Races in which at least two appends overlap; fewer prove nothing."""
ANY = StreamState.ANY


T = TypeVar("T")


class Timed(Protocol):
    """A racer's call, and its duration."""

    @property
    def racer(self) -> str: ...
    @property
    def began_s(self) -> float: ...
    @property
    def ended_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """One racer's append, its answer, and its duration by the machine's monotonic clock."""

    racer: str
    stream: str
    batch: Sequence[NewEvent]
    expected: ExpectedVersion
    began_s: float
    ended_s: float
    answer: AppendResult | StoreError

    @property
    def won(self) -> bool:
        """Whether the append is acknowledged."""
        return isinstance(self.answer, AppendResult)

    @property
    def answered(self) -> bool:
        """Whether the store decided. If not, nothing follows for its race."""
        return is_decision(self.answer)

    @property
    def unknown(self) -> bool:
        """Whether it may have been written without an answer."""
        return isinstance(self.answer, OutcomeUnknown)

    def step(self, race: Sequence[Attempt]) -> Step:
        """A line of evidence; its time counts from the first append of the race."""
        more = f" and {len(self.batch) - 1} more" if len(self.batch) > 1 else ""
        expected = spelled(self.expected)
        did = f"append {self.batch[0].id}{more} to {self.stream!r}, expected {expected}"
        took_ms = (self.ended_s - self.began_s) * 1000
        result = f"{describe_answer(self.answer)}, after {took_ms:.1f} ms"
        at_ms = (self.began_s - min(each.began_s for each in race)) * 1000
        return Step(self.racer, did, result, at_ms)


async def attempt(
    racer: str,
    store: EventStore,
    stream: str,
    batch: Sequence[NewEvent],
    expected: ExpectedVersion,
) -> Attempt:
    """A timed append. Raises `Unsupported` where the store does."""
    began_s = time.monotonic()
    answer: AppendResult | StoreError
    try:
        answer = await store.append(stream, batch, expected=expected)
    except UnsupportedByStore as error:
        raise Unsupported(str(error)) from error
    except StoreError as error:
        raise_if_cancelled()
        answer = error
    return Attempt(racer, stream, batch, expected, began_s, time.monotonic(), answer)


def abandoned_attempt(racer: str, stream: str, batch: Sequence[NewEvent]) -> Attempt:
    """An append under ANY that was cancelled before its answer: its outcome is unknown."""
    now_s = time.monotonic()
    answer = OutcomeUnknown("given up before it was answered")
    return Attempt(racer, stream, batch, ANY, now_s, now_s, answer)


async def race(
    context: CheckContext,
    stores: Sequence[Adapter],
    stream: str,
    expected: ExpectedVersion,
    *,
    size: int = 1,
) -> list[Attempt]:
    """Release `RACERS` appends of `size` events at once over these connections."""
    return await release_together(
        [
            racer(
                f"racer {number}",
                stores[number % len(stores)],
                stream,
                context.events(size),
                expected,
            )
            for number in range(RACERS)
        ]
    )


def racer(
    name: str,
    store: EventStore,
    stream: str,
    batch: Sequence[NewEvent],
    expected: ExpectedVersion,
) -> Callable[[], Awaitable[Attempt]]:
    """An attempt that has not started."""
    return lambda: attempt(name, store, stream, batch, expected)


async def release_together(racers: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Start all of them at one moment."""
    gate = asyncio.Event()

    async def at_gate(racer: Callable[[], Awaitable[T]]) -> T:
        await gate.wait()
        return await racer()

    racing = [asyncio.create_task(at_gate(racer)) for racer in racers]
    await asyncio.sleep(0)
    gate.set()
    return await asyncio.gather(*racing)


def strictest_expectation(context: CheckContext) -> ExpectedVersion:
    """The strictest expectation of a first append: NO_STREAM, unless the store has no versions."""
    return StreamState.NO_STREAM if context.guarantees.occ != "none" else ANY


def overlapped(attempts: Sequence[Timed]) -> bool:
    """Whether any two attempts overlap in time."""
    by_start = sorted(attempts, key=lambda each: each.began_s)
    return any(later.began_s < earlier.ended_s for earlier, later in pairwise(by_start))


def all_answered(attempts: Sequence[Attempt]) -> bool:
    """Whether the outcome of each attempt is known."""
    return all(each.answered for each in attempts)


def overlapping_races(attempts: Sequence[Attempt]) -> int:
    """The number of races in which appends overlap; `RACERS` attempts each."""
    races = [attempts[first : first + RACERS] for first in range(0, len(attempts), RACERS)]
    return sum(map(overlapped, races))


def overlaps(by_racer: Sequence[Sequence[Timed]]) -> int:
    """The number of appends that begin during an append of another racer or process."""
    by_start = sorted(chain.from_iterable(by_racer), key=lambda each: each.began_s)
    return sum(
        later.racer != earlier.racer and later.began_s < earlier.ended_s
        for earlier, later in pairwise(by_start)
    )


def count_overlaps(context: CheckContext, count: int) -> None:
    """Count appends, or races of them, that overlapped; fewer than `OVERLAPS_MIN` prove nothing."""
    context.count("appends that overlapped", count, least=OVERLAPS_MIN)


def count_overlaps_between(context: CheckContext, by_process: Sequence[Sequence[Timed]]) -> None:
    """Count the appends of different processes that overlapped."""
    what = "appends of several processes that overlapped"
    context.count(what, overlaps(by_process), least=OVERLAPS_MIN)


async def append_in_process(
    store: Adapter, rendezvous: Rendezvous, number: int, stream: str
) -> list[Attempt]:
    """One process's part of a race: it appends to a stream to which the others append as well."""
    attempts = []
    for each in range(PROCESS_ROUNDS):
        await rendezvous()
        batch = process_events(f"{stream}/{number}/{each}", 1)
        attempts.append(await attempt(f"process {number}", store, stream, batch, ANY))
    return attempts


def process_events(seed: str, count: int) -> list[NewEvent]:
    """New events in a worker process, which has no `CheckContext`."""
    rng = Random(seed)
    return [
        NewEvent(UUID(int=rng.getrandbits(128), version=4), "OrderPlaced", b'{"n": 1}')
        for _ in range(count)
    ]
