"""Runs checks on one store: those that disturb nobody side by side, the others alone, and last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from random import Random

from harness.conformance.bench import Bench, Controlled, Reach, told
from harness.conformance.check import (
    Broken,
    Check,
    Company,
    Finding,
    NotReached,
    OutOfReach,
    Step,
    Unsupported,
    Verdict,
)
from harness.conformance.crew import Crew
from harness.conformance.profiles import Profile
from harness.errors import StoreError, UnsupportedByStore
from harness.store import Adapter, Guarantees

STEPS_MAX = 8
"""Lines of evidence from the end of what a check did, where it did not choose them itself."""

Observer = Callable[[Check, Finding], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """A store variant whose namespace is set up."""

    key: str
    reach: Reach
    server: Controlled | None = None

    @property
    def guarantees(self) -> Guarantees:
        """What it declares under its options."""
        return self.reach.adapter.declares(self.reach.options)


async def measure(
    subject: Subject,
    checks: Iterable[Check],
    profile: Profile,
    *,
    seed: int = 1,
    observer: Observer = lambda *_: None,
) -> Mapping[int, Finding]:
    """What each check found, by number."""
    async with AsyncExitStack() as stack:
        crew = Crew(profile.processes)
        stack.push_async_callback(crew.aclose)
        bay = _Bay(subject, profile, seed, crew, observer)
        if subject.guarantees.writers != "many":
            bay.only = await subject.reach.opened()
            stack.push_async_callback(bay.only.aclose)
        wanted = list(checks)
        await bay.side_by_side([each for each in wanted if each.company is Company.ANYONE])
        for each in sorted(wanted, key=lambda each: each.company):
            if each.company is not Company.ANYONE:
                await bay.one(each)
        return {each.number: bay.found[each.number] for each in wanted}


@dataclass(slots=True)
class _Bay:
    subject: Subject
    profile: Profile
    seed: int
    crew: Crew
    observer: Observer
    only: Adapter | None = None
    """The one connection that may write, where there may be only one."""
    found: dict[int, Finding] = field(default_factory=dict)

    async def side_by_side(self, checks: Iterable[Check]) -> None:
        places = asyncio.Semaphore(self.profile.side_by_side)

        async def placed(check: Check) -> None:
            async with places:
                await self.one(check)

        async with asyncio.TaskGroup() as group:
            for each in checks:
                group.create_task(placed(each))

    async def one(self, check: Check) -> None:
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            finding = await self._found(check, stack)
        finding = replace(finding, seconds=round(time.monotonic() - began, 3))
        self.found[check.number] = finding
        self.observer(check, finding)

    async def _found(self, check: Check, stack: AsyncExitStack) -> Finding:
        if not self.subject.guarantees.readable:
            return Finding(Verdict.UNSUPPORTED, "keeps nothing to read back")
        bench: Bench | None = None
        limit: asyncio.Timeout | None = None
        try:
            async with asyncio.timeout(self.profile.limit_s) as limit:
                bench = await self._bench(check, stack)
                return await verdict_of(check.run(bench))
        except Exception as error:
            why = _one_line(error)
            if limit is not None and limit.expired():
                why = f"not finished within {self.profile.limit_s:g} s"
            steps = bench.story(error, STEPS_MAX) if bench else []
        return Finding(Verdict.FAILS, why, (*steps, Step("the check", "ended", why)))

    async def _bench(self, check: Check, stack: AsyncExitStack) -> Bench:
        reach, store = await self._place(check, stack)
        return Bench(
            check.number,
            store,
            reach,
            self.subject.guarantees,
            self.profile,
            Random(f"{self.seed}/{check.number}"),
            stack,
            self.crew,
            self.subject.server,
        )

    async def _place(self, check: Check, stack: AsyncExitStack) -> tuple[Reach, Adapter]:
        """A connection, and where more may be opened.

        A check that runs last has a namespace of its own: what it, or a restart, leaves there is
        nobody else's trouble.
        """
        reach = self.subject.reach
        if check.company is not Company.LAST:
            if self.only is not None:
                return reach, self.only
            return reach, await _opened(reach, stack)
        name = f"{reach.endpoint.namespace}_{check.number}"
        reach = replace(reach, endpoint=replace(reach.endpoint, namespace=name))
        stack.push_async_callback(_torn_down, reach)
        store = await _opened(reach, stack)
        await store.setup()
        return reach, store


async def _opened(reach: Reach, stack: AsyncExitStack) -> Adapter:
    store = await reach.opened()
    stack.push_async_callback(store.aclose)
    return store


async def _torn_down(reach: Reach) -> None:
    """On a connection of its own: the check's may be dead, and so may be what it made."""
    with suppress(StoreError):
        store = await reach.opened()
        try:
            await store.teardown()
        finally:
            await store.aclose()


async def verdict_of(running: Awaitable[None]) -> Finding:
    """How a check ended, as a finding; what is not a check's own word is raised."""
    try:
        await running
    except Broken as broken:
        return Finding(Verdict.FAILS, broken.why, broken.evidence)
    except NotReached as missed:
        out_of_reach = isinstance(missed, OutOfReach)
        return Finding(Verdict.NOT_REACHED, str(missed), out_of_reach=out_of_reach)
    except (Unsupported, UnsupportedByStore) as unsupported:
        return Finding(Verdict.UNSUPPORTED, str(unsupported))
    return Finding(Verdict.HOLDS)


def _one_line(error: Exception) -> str:
    if isinstance(error, StoreError):
        return told(error)
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
