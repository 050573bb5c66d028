"""Power lost under load, again and again, and what is left of what was acknowledged."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import OutOfReach, Step
from harness.conformance.framework.crashes import (
    IN_MEMORY,
    CutOff,
    cut_off,
    load_s,
    read_or_nothing,
    written_streams,
)
from harness.conformance.framework.history_oracle import require_history
from harness.conformance.framework.own_process import write_until
from harness.conformance.framework.races import Attempt
from harness.domain.durability import Durability, PowerLosses
from harness.domain.errors import StoreError
from harness.domain.server import Server, UsedByProcesses
from harness.domain.store import Adapter, BoundsItsLoss, RecordedEvent
from harness.verification import Kind

INTRUDERS = (Kind.DUPLICATED, Kind.FOREIGN, Kind.WRITTEN_THOUGH_REFUSED)
SHOWN = 3
LOSSES = 5
FRESH_S = 0.5
"""An append that was acknowledged so shortly before is what a store without syncs loses."""


@dataclass(slots=True)
class Survival:
    """What was acknowledged before each crash, and what of it is gone."""

    crashes: list[CutOff] = field(default_factory=list)
    gone: dict[int, float] = field(default_factory=dict)
    """Ages at the crash, by the identity of the attempt: nothing is counted twice."""
    shown: list[Step] = field(default_factory=list)
    acknowledged: int = 0
    bound_s: float | None = None
    """How old a loss may be by the store's settings, where they say so."""

    @property
    def attempts(self) -> list[Attempt]:
        """All of them."""
        return [made for crash in self.crashes for made in crash.attempts]

    @property
    def telling(self) -> int:
        """How many of the crashes say something."""
        return sum(crash.telling for crash in self.crashes)

    def measured(self, *, no_start: str = "") -> PowerLosses:
        """The result so far."""
        oldest_s = max(self.gone.values(), default=0.0)
        counts = len(self.crashes), self.acknowledged, len(self.gone)
        return PowerLosses(*counts, oldest_s, no_start, self.bound_s)

    def add(self, crash: CutOff) -> None:
        """One more crash."""
        self.crashes.append(crash)
        self.acknowledged += sum(made.won for made in crash.attempts)

    async def look(self, store: Adapter) -> None:
        """Read everything that was ever acknowledged. Raises `Broken` for what nobody sent."""
        at_s = self.crashes[-1].at_s
        for stream in written_streams(self.attempts):
            mine = [made for made in self.attempts if made.stream == stream]
            found = await read_or_nothing(store, stream)
            require_history(mine, found, *INTRUDERS)
            there = {event.id for event in found}
            for made in mine:
                if made.won and id(made) not in self.gone and not _is_whole(made, there):
                    self.gone[id(made)] = max(0.0, at_s - made.ended_s)
                    self._show(made, mine, found)

    def _show(self, made: Attempt, race: Sequence[Attempt], found: Sequence[RecordedEvent]) -> None:
        if len(self.shown) < SHOWN:
            read = Step("a reader, afterwards", f"read {made.stream!r}", f"{len(found)} events")
            self.shown += [made.step(race), read]


def _is_whole(made: Attempt, there: Collection[UUID]) -> bool:
    return all(event.id in there for event in made.batch)


async def loss_bound_s(context: CheckContext) -> float | None:
    """How old a loss may be by the settings of the check's store; `None` without a bound."""
    if context.guarantees.durability is not Durability.BOUNDED_LOSS:
        return None
    async with context.factory.opened() as store:
        return (
            store.loss_bound_s(await store.settings()) if isinstance(store, BoundsItsLoss) else None
        )


async def without_power(context: CheckContext, server: Server) -> CutOff:
    """Write, and lose power at a seeded moment; a library is written by a process of its own."""
    after_s = context.rng.uniform(0.0, load_s(context))
    if not isinstance(server, UsedByProcesses):
        return await cut_off(context, server.lose_power, after_s=after_s)

    async def lose_power(pid: int) -> None:
        server.used_by(pid)
        await server.lose_power()

    written = await write_until(context, lose_power, after_s=after_s)
    return CutOff(written.attempts, written.at_s)


async def look(context: CheckContext, survival: Survival) -> None:
    """Over a connection that is closed again: it may hold files open."""
    try:
        async with context.factory.opened() as reader:
            await survival.look(reader)
    except StoreError as error:
        if context.guarantees.durability is Durability.MEMORY:
            raise OutOfReach(IN_MEMORY) from error
        raise


def count_power_losses(context: CheckContext, survival: Survival) -> None:
    """What 51 met: acknowledgements just before, and writers that were cut off."""
    fresh = sum(
        any(made.won and crash.at_s - made.ended_s < FRESH_S for made in crash.attempts)
        for crash in survival.crashes
    )
    context.count("acknowledged appends before a power loss", survival.acknowledged, least=LOSSES)
    what = f"power losses within {FRESH_S:g} s of an acknowledgement"
    context.count(what, fresh, least=LOSSES)
    what = "power losses that cut a writer off"
    context.count(what, survival.telling, least=LOSSES)
    context.count("acknowledged appends that are gone", len(survival.gone), least=0)
