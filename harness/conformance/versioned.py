"""Versioned: an append says what it expects, and the store decides."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.conformance.bench import Bench, said, told
from harness.conformance.check import Broken, NotReached, Step, check
from harness.conformance.declared import OCC
from harness.errors import StoreError
from harness.store import Adapter, AppendResult, ExpectedVersion, NewEvent, StreamState

RACERS = 16
COLLISIONS_MIN = 10
"""Races in which at least two were under way at once; fewer prove nothing."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One racer's append: when it was under way and how it ended."""

    racer: int
    stream: str
    batch: Sequence[NewEvent]
    expected: ExpectedVersion
    began_ms: float
    ended_ms: float
    ended: AppendResult | StoreError

    @property
    def won(self) -> bool:
        """Whether it was acknowledged."""
        return isinstance(self.ended, AppendResult)

    def step(self) -> Step:
        """A line of evidence."""
        did = f"append {self.batch[0].id} to {self.stream!r}, expected {said(self.expected)}"
        return Step(f"racer {self.racer}", did, told(self.ended), self.began_ms)


async def race(
    bench: Bench, stores: Sequence[Adapter], stream: str, expected: ExpectedVersion
) -> list[Attempt]:
    """All at once, let go together."""
    gate = asyncio.Event()

    async def run(racer: int) -> Attempt:
        batch = bench.events()
        await gate.wait()
        began_ms = bench.at_ms()
        through = stores[racer % len(stores)]
        ended = await bench.attempt(
            stream, batch, expected=expected, by=f"racer {racer}", through=through
        )
        return Attempt(racer, stream, batch, expected, began_ms, bench.at_ms(), ended)

    racing = [asyncio.create_task(run(racer)) for racer in range(RACERS)]
    await asyncio.sleep(0)
    gate.set()
    return await asyncio.gather(*racing)


def collided(attempts: Sequence[Attempt]) -> bool:
    """Whether any two were under way at the same time."""
    by_start = sorted(attempts, key=lambda each: each.began_ms)
    return any(b.began_ms < a.ended_ms for a, b in pairwise(by_start))


@check(
    16,
    provokes=f"{RACERS} racers with one expected version, over several connections, round after"
    " round at versions that exist and at NO_STREAM",
    leaves="every racer that was acknowledged, and what the stream holds",
    declaration=OCC,
)
async def of_racers_with_one_expected_version_exactly_one_wins(bench: Bench) -> None:
    """Of any number of appends that expect the same version, exactly one is written."""
    stores = await bench.writers(4)
    collisions, stream = 0, bench.stream()
    head: ExpectedVersion = StreamState.NO_STREAM
    for number in bench.rounds():
        if number % 8 == 0:
            stream, head = bench.stream(), StreamState.NO_STREAM
        attempts = await race(bench, stores, stream, head)
        won = [each for each in attempts if each.won]
        if len(won) != 1:
            raise Broken(
                f"{len(won)} of {RACERS} racers won",
                [each.step() for each in (won or attempts[:3])],
            )
        head = won[0].ended.version  # type: ignore[union-attr]  # it won
        collisions += collided(attempts)
        bench.steps.clear()
    if collisions < COLLISIONS_MIN:
        raise NotReached(f"{collisions} of at least {COLLISIONS_MIN} races were under way together")
