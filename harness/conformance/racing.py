"""Races: many appends let go together, and whether any two of them really met."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID

from harness.conformance.bench import said, told
from harness.conformance.check import NotReached, Step, Unsupported
from harness.conformance.crew import Meet
from harness.errors import OutcomeUnknown, StoreError, UnsupportedByStore
from harness.store import Adapter, AppendResult, EventStore, ExpectedVersion, NewEvent, StreamState

if TYPE_CHECKING:
    from harness.conformance.bench import Bench

RACERS = 16
CONNECTIONS = 4
A_STREAM = 8
"""Races on one stream, or streams in turn."""
PROCESS_ROUNDS = 40
"""Appends of each process."""
COLLISIONS_MIN = 10
"""Races in which at least two appends were under way at once; fewer prove nothing."""
ANY = StreamState.ANY


@dataclass(frozen=True, slots=True)
class Attempt:
    """One racer's append: when it was under way, by the machine's clock, and how it ended."""

    racer: str
    stream: str
    batch: Sequence[NewEvent]
    expected: ExpectedVersion
    began_s: float
    ended_s: float
    ended: AppendResult | StoreError

    @property
    def won(self) -> bool:
        """Whether it was acknowledged."""
        return isinstance(self.ended, AppendResult)

    @property
    def answered(self) -> bool:
        """Whether the store said how it ended; where it did not, nothing is known of its race."""
        return not isinstance(self.ended, OutcomeUnknown)

    def step(self, race: Sequence[Attempt]) -> Step:
        """A line of evidence; its time counts from the first append of the race."""
        more = f" and {len(self.batch) - 1} more" if len(self.batch) > 1 else ""
        did = f"append {self.batch[0].id}{more} to {self.stream!r}, expected {said(self.expected)}"
        result = f"{told(self.ended)}, after {(self.ended_s - self.began_s) * 1000:.1f} ms"
        at_ms = (self.began_s - min(each.began_s for each in race)) * 1000
        return Step(self.racer, did, result, at_ms)


async def attempt(
    racer: str,
    store: EventStore,
    stream: str,
    batch: Sequence[NewEvent],
    expected: ExpectedVersion,
) -> Attempt:
    """Append, timed. Raises `Unsupported` where the store says so."""
    began_s = time.monotonic()
    ended: AppendResult | StoreError
    try:
        ended = await store.append(stream, batch, expected=expected)
    except UnsupportedByStore as error:
        raise Unsupported(str(error)) from error
    except StoreError as error:
        ended = error
    return Attempt(racer, stream, batch, expected, began_s, time.monotonic(), ended)


def unanswered(racer: str, stream: str, batch: Sequence[NewEvent]) -> Attempt:
    """An append under ANY that was given up before it ended: nobody knows what came of it."""
    now_s = time.monotonic()
    ended = OutcomeUnknown("given up before it was answered")
    return Attempt(racer, stream, batch, ANY, now_s, now_s, ended)


async def race(
    bench: Bench,
    stores: Sequence[Adapter],
    stream: str,
    expected: ExpectedVersion,
    *,
    size: int = 1,
) -> list[Attempt]:
    """`RACERS` appends of `size` events, let go together over these connections."""
    return await together(
        [
            _racer(number, stores[number % len(stores)], stream, bench.events(size), expected)
            for number in range(RACERS)
        ]
    )


def _racer(
    number: int,
    store: EventStore,
    stream: str,
    batch: Sequence[NewEvent],
    expected: ExpectedVersion,
) -> Callable[[], Awaitable[Attempt]]:
    return lambda: attempt(f"racer {number}", store, stream, batch, expected)


async def together(racers: Sequence[Callable[[], Awaitable[Attempt]]]) -> list[Attempt]:
    """Let go at one moment."""
    gate = asyncio.Event()

    async def held(racer: Callable[[], Awaitable[Attempt]]) -> Attempt:
        await gate.wait()
        return await racer()

    racing = [asyncio.create_task(held(racer)) for racer in racers]
    await asyncio.sleep(0)
    gate.set()
    return await asyncio.gather(*racing)


def strictest(bench: Bench) -> ExpectedVersion:
    """What a first append may expect at most: no stream, where the store lets one say so."""
    return StreamState.NO_STREAM if bench.guarantees.occ != "none" else ANY


def collided(attempts: Sequence[Attempt]) -> bool:
    """Whether any two were under way at the same time."""
    by_start = sorted(attempts, key=lambda each: each.began_s)
    return any(later.began_s < earlier.ended_s for earlier, later in pairwise(by_start))


def answered(attempts: Sequence[Attempt]) -> bool:
    """Whether it is known how each of them ended."""
    return all(each.answered for each in attempts)


def sort_out(attempts: Sequence[Attempt]) -> int:
    """How many races these were in which appends met."""
    races = [attempts[first : first + RACERS] for first in range(0, len(attempts), RACERS)]
    return sum(map(collided, races))


def met(by_process: Sequence[Sequence[Attempt]]) -> int:
    """How many appends began while another racer's, or another process's, was under way."""
    by_start = sorted(chain.from_iterable(by_process), key=lambda each: each.began_s)
    return sum(
        later.racer != earlier.racer and later.began_s < earlier.ended_s
        for earlier, later in pairwise(by_start)
    )


def enough(collisions: int, where: str = "") -> None:
    """Raises `NotReached` where too few races were any."""
    if collisions < COLLISIONS_MIN:
        told = f"appends met only {collisions} times{where}; {COLLISIONS_MIN} wanted"
        raise NotReached(told)


def enough_between(by_process: Sequence[Sequence[Attempt]]) -> None:
    """Raises `NotReached` where the processes hardly ever met."""
    enough(met(by_process), " between processes")


async def append_alone(store: Adapter, meet: Meet, number: int, stream: str) -> list[Attempt]:
    """One process's part: appends to a stream to which the others append as well."""
    attempts = []
    for each in range(PROCESS_ROUNDS):
        await meet()
        batch = process_events(f"{stream}/{number}/{each}", 1)
        attempts.append(await attempt(f"process {number}", store, stream, batch, ANY))
    return attempts


def process_events(seed: str, count: int) -> list[NewEvent]:
    """New events of a process of the crew: it has no bench."""
    rng = Random(seed)
    return [
        NewEvent(UUID(int=rng.getrandbits(128), version=4), "OrderPlaced", b'{"n": 1}')
        for _ in range(count)
    ]
