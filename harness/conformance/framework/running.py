"""Runs checks on one store: shared ones concurrently, the others alone, destructive ones last.

Only a check's own judgement of what it read is a failure. Any other error, and a check that did
not provoke enough, is *not reached*, after a second try where the reason is not the store's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from random import Random

from harness.conformance.framework.check import Check, Isolation
from harness.conformance.framework.check_context import CheckContext, LabDiskOffer, Profile
from harness.conformance.framework.check_result import (
    Broken,
    CheckResult,
    CheckVerdict,
    Disturbed,
    NotReached,
    OutOfReach,
    Provocation,
    Step,
    Unsupported,
    describe_error,
)
from harness.conformance.framework.check_workers import CheckWorkers
from harness.domain.cancellation import raise_if_cancelled, together
from harness.domain.errors import StoreError, UnsupportedByStore
from harness.domain.factory import StoreFactory
from harness.domain.server import Server
from harness.domain.store import Guarantees, StreamState

STEPS_MAX = 8
"""Lines of evidence for an unexpected error, the last ones."""
CLOSING_LIMIT_S = 10.0
"""For the connections of a check; a driver that hangs in it costs that check alone."""
REMOVAL_LIMIT_S = 60.0
"""For the namespace of a check: a table of a cloud's takes its time."""
UNPROMISED_WITHIN_S = 2.0
"""What no declaration promises is not waited for any longer."""
ABANDONED_AFTER_S = 5.0
"""After its cancellation, what still runs is left behind."""

OnResult = Callable[[Check, CheckResult], None]


@dataclass(frozen=True, slots=True)
class StoreUnderTest:
    """A store variant whose namespace is set up; each check has one beside it."""

    key: str
    factory: StoreFactory
    server: Server | None = None
    lab_disk: LabDiskOffer | None = None
    """For checks that hurt the disk: another server, on a disk of the lab's own."""

    @property
    def guarantees(self) -> Guarantees:
        """What it declares under its options."""
        return self.factory.guarantees


async def measure(
    under_test: StoreUnderTest,
    checks: Iterable[Check],
    profile: Profile,
    *,
    seed: int = 1,
    on_result: OnResult = lambda *_: None,
    workers: CheckWorkers | None = None,
) -> Mapping[int, CheckResult]:
    """The result of each check by its number. `on_result` is called as soon as there is one.

    `workers` may be shared by several stores; without them, the store gets the profile's number.
    """
    async with AsyncExitStack() as stack:
        if workers is None:
            workers = CheckWorkers(profile.processes)
            stack.push_async_callback(workers.aclose)
        runner = _Runner(under_test, profile, seed, workers, on_result)
        wanted = list(checks)
        await runner.concurrently([e for e in wanted if e.isolation is Isolation.SHARED])
        for each in sorted(wanted, key=lambda each: each.isolation):
            if each.isolation is not Isolation.SHARED:
                await runner.one(each)
        return {each.number: runner.results[each.number] for each in wanted}


@dataclass(slots=True)
class _Try:
    """One try of a check; its result is there as soon as the check has one."""

    result: CheckResult | None = None


@dataclass(slots=True)
class _Runner:
    under_test: StoreUnderTest
    profile: Profile
    seed: int
    workers: CheckWorkers
    on_result: OnResult
    results: dict[int, CheckResult] = field(default_factory=dict)

    async def concurrently(self, checks: Iterable[Check]) -> None:
        slots = asyncio.Semaphore(self.profile.concurrent_max)

        async def in_slot(check: Check) -> None:
            async with slots:
                await self.one(check)

        async with together() as group:
            for each in checks:
                group.create_task(in_slot(each))

    async def one(self, check: Check) -> None:
        began = time.monotonic()
        result = await self._within_limits(check, second_try=False)
        if result.disturbed:
            result = await self._within_limits(check, second_try=True)
        result = replace(result, seconds=round(time.monotonic() - began, 3))
        self.results[check.number] = result
        self.on_result(check, result)

    async def _within_limits(self, check: Check, *, second_try: bool) -> CheckResult:
        """The result of one try, closing included, whatever the driver does."""
        if not self.under_test.guarantees.readable:
            return CheckResult(CheckVerdict.UNSUPPORTED, "keeps nothing to read back")
        needs = check.declaration.needs
        if needs is not None and not issubclass(self.under_test.factory.adapter, needs):
            return CheckResult(CheckVerdict.UNSUPPORTED, f"the adapter has no {needs.__name__}")
        attempt = _Try()
        trying = asyncio.create_task(self._try(check, attempt, second_try=second_try))
        limit_s = self.profile.limit_s + CLOSING_LIMIT_S + ABANDONED_AFTER_S
        try:
            await asyncio.wait([trying], timeout=limit_s)
        finally:
            if not trying.done():
                trying.cancel()
                await asyncio.wait([trying], timeout=ABANDONED_AFTER_S)
        if trying.done() and not trying.cancelled():
            trying.result()
        return attempt.result or CheckResult(
            CheckVerdict.NOT_REACHED, f"the driver did not end within {limit_s:g} s"
        )

    async def _try(self, check: Check, attempt: _Try, *, second_try: bool) -> None:
        stack = AsyncExitStack()
        factory = self._in_its_namespace(check, second_try=second_try)
        context: CheckContext | None = None
        limit: asyncio.Timeout | None = None
        try:
            async with asyncio.timeout(self.profile.limit_s) as limit:
                context = await self._context(check, factory, stack, second_try=second_try)
                attempt.result = await result_of(check.run(context), context)
                await self._require_sound_surroundings(context, attempt)
        except Exception as error:
            raise_if_cancelled()
            why = str(error) if isinstance(error, Disturbed) else describe_error(error)
            if limit is not None and limit.expired():
                why = f"not finished within {self.profile.limit_s:g} s"
            attempt.result = _unexpected(error, why, context)
        finally:  # after Ctrl-C, too: the server may be the user's
            await self._ended(attempt, "closing its connections", stack.aclose(), CLOSING_LIMIT_S)
            removing = _tear_down(factory)
            await self._ended(attempt, "removing its namespace", removing, REMOVAL_LIMIT_S)

    async def _require_sound_surroundings(self, context: CheckContext, attempt: _Try) -> None:
        """After a failure: a store that takes no plain append now is in trouble, not at fault.

        The server may be gone, the disk full, the file handles used up.
        """
        found = attempt.result
        if found is None or found.verdict is not CheckVerdict.FAILS or found.for_good:
            return
        stream = f"{context.stream()}-afterwards"
        try:
            store = (await context.writers(2))[1]  # a second writer would fence the only one
            await store.append(stream, context.events(), expected=StreamState.ANY)
        except UnsupportedByStore:
            return
        except Exception as error:
            raise_if_cancelled()
            why = f"{describe_error(error)}, for a plain append after this: {found.why}"
            attempt.result = replace(
                found, verdict=CheckVerdict.NOT_REACHED, why=why, disturbed=True
            )

    async def _ended(
        self, attempt: _Try, what: str, ending: Awaitable[None], limit_s: float
    ) -> None:
        """Await it; what goes wrong in it costs a check that holds its ✓."""
        why = ""
        try:
            async with asyncio.timeout(limit_s):
                await ending
        except TimeoutError:
            why = f"{what} was not finished within {limit_s:g} s"
        except Exception as error:
            why = f"{what} failed: {describe_error(error)}"
        if why and attempt.result is not None and attempt.result.verdict is CheckVerdict.HOLDS:
            attempt.result = replace(attempt.result, verdict=CheckVerdict.NOT_REACHED, why=why)

    def _in_its_namespace(self, check: Check, *, second_try: bool) -> StoreFactory:
        """What a check leaves affects no other, and none has to read past the events of all."""
        factory = self.under_test.factory
        name = f"{factory.endpoint.namespace}_{check.number}" + "b" * second_try
        return factory.in_namespace(name)

    async def _context(
        self, check: Check, factory: StoreFactory, stack: AsyncExitStack, *, second_try: bool
    ) -> CheckContext:
        store = await factory.open()
        stack.push_async_callback(store.aclose)
        await store.setup()
        profile = self.profile
        if not check.declaration.promised(self.under_test.guarantees):
            profile = replace(profile, within_s=min(profile.within_s, UNPROMISED_WITHIN_S))
        return CheckContext(
            check.number,
            store,
            factory,
            self.under_test.guarantees,
            profile,
            Random(f"{self.seed}/{check.number}" + "/again" * second_try),
            stack,
            self.workers,
            self.under_test.server,
            self.under_test.lab_disk,
            second_try=second_try,
        )


async def _tear_down(factory: StoreFactory) -> None:
    """On a connection of its own: those of the check may be dead."""
    with suppress(StoreError):
        async with factory.opened() as store:
            await store.teardown()


def _unexpected(error: Exception, why: str, context: CheckContext | None) -> CheckResult:
    """An error that no check raised as its judgement: nothing follows about the promise."""
    steps = context.last_steps(error, STEPS_MAX) if context else []
    return CheckResult(
        CheckVerdict.NOT_REACHED,
        why,
        (*steps, Step("the check", "ended", why)),
        provoked=_provoked(context),
        disturbed=True,
    )


def _provoked(context: CheckContext | None) -> tuple[Provocation, ...]:
    return tuple(context.provoked.values()) if context else ()


async def result_of(run: Awaitable[None], context: CheckContext) -> CheckResult:
    """The result of a running check; raises any error that is not a check's own."""
    result = await _judged(run, context)
    judged = result.verdict in (CheckVerdict.HOLDS, CheckVerdict.FAILS)
    if not judged or not context.power_losses:
        return result
    return replace(result, power_losses=context.power_losses[-1])


async def _judged(run: Awaitable[None], context: CheckContext) -> CheckResult:
    try:
        await run
    except Broken as broken:
        provoked = _provoked(context)
        return CheckResult(
            CheckVerdict.FAILS,
            broken.why,
            broken.evidence,
            provoked=provoked,
            for_good=broken.for_good,
        )
    except Disturbed:
        raise
    except NotReached as missed:
        return CheckResult(
            CheckVerdict.NOT_REACHED,
            str(missed),
            out_of_reach=isinstance(missed, OutOfReach),
            provoked=_provoked(context),
            disturbed=not isinstance(missed, OutOfReach),
        )
    except (Unsupported, UnsupportedByStore) as unsupported:
        return CheckResult(CheckVerdict.UNSUPPORTED, str(unsupported))
    return _earned(_provoked(context))


def _earned(provoked: tuple[Provocation, ...]) -> CheckResult:
    """`HOLDS`, if the check provoked enough to say so."""
    if not provoked:
        why = "the check counted nothing that it provoked"
        return CheckResult(CheckVerdict.NOT_REACHED, why)
    missing = [str(each) for each in provoked if not each.enough]
    if missing:
        why = f"provoked too little: {'; '.join(missing)}"
        return CheckResult(CheckVerdict.NOT_REACHED, why, provoked=provoked, disturbed=True)
    return CheckResult(CheckVerdict.HOLDS, provoked=provoked)
