"""What becomes of a check that cannot judge: not reached, with its reason, and never a failure."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import ClassVar
from uuid import uuid4

import pytest

from harness.conformance import (
    FAST,
    CheckResult,
    CheckVerdict,
    StoreUnderTest,
    all_checks,
    measure,
)
from harness.conformance.framework import running
from harness.conformance.framework.check import ALWAYS, Check, Isolation, Requirement
from harness.conformance.framework.check_result import Broken
from harness.conformance.framework.check_workers import CheckWorkers
from harness.domain.boundaries import Boundaries
from harness.domain.errors import AppendRefused, OutOfResources, StoreUnavailable
from harness.domain.factory import StoreFactory
from harness.domain.store import Endpoint, StreamState
from harness.stores.memory.store import MemoryOptions, MemoryStore

QUICK = replace(FAST, seconds=0.1, limit_s=1.0, processes=0)
NOT_REACHED, HOLDS, FAILS = CheckVerdict.NOT_REACHED, CheckVerdict.HOLDS, CheckVerdict.FAILS


def check_of(run, number=1) -> Check:
    return Check(number, "made", Requirement.ORDERED, "", "", "", ALWAYS, Isolation.EXCLUSIVE, run)


async def results_of(*runs, store=MemoryStore) -> list[CheckResult]:
    factory = StoreFactory(store, Endpoint(namespace=f"eslab_{uuid4().hex[:8]}"), MemoryOptions())
    checks = [check_of(run, number) for number, run in enumerate(runs, start=1)]
    under_test = StoreUnderTest("made", factory)
    async with factory.set_up():
        found = await measure(under_test, checks, QUICK, workers=CheckWorkers(0))
    return [found[each.number] for each in checks]


async def looked(context):
    context.count("looks", least=1)


async def test_a_check_that_counts_enough_holds_and_says_what_it_counted():
    (result,) = await results_of(looked)
    assert result.verdict is HOLDS
    assert [str(each) for each in result.provoked] == ["1 looks, at least 1 needed"]


async def test_a_check_that_counted_nothing_proves_nothing():
    async def passes(context):
        """Without a look."""

    (result,) = await results_of(passes)
    assert result.verdict is NOT_REACHED


async def test_a_check_that_provoked_too_little_is_tried_again_and_then_proves_nothing():
    tries = []

    async def provokes_little(context):
        tries.append(context.stream())
        context.count("meetings", 3, least=10)

    (result,) = await results_of(provokes_little)
    assert result.verdict is NOT_REACHED
    assert result.why == "provoked too little: 3 meetings, at least 10 needed"
    assert len(set(tries)) == 2, "the second try has streams of its own"


async def test_each_check_has_a_namespace_of_its_own():
    namespaces = []

    async def notes_its_namespace(context):
        namespaces.append(context.factory.endpoint.namespace)
        await context.append(
            "the same stream in each", context.events(), expected=StreamState.NO_STREAM
        )
        context.count("appends", least=1)

    for result in await results_of(notes_its_namespace, notes_its_namespace):
        assert result.verdict is HOLDS, result.why
    assert len(set(namespaces)) == 2


async def test_a_check_that_is_interrupted_leaves_no_namespace():
    class Removed(MemoryStore):
        removed: ClassVar[list[str]] = []

        async def teardown(self):
            self.removed.append(self.namespace)
            await super().teardown()

    began = asyncio.Event()

    async def goes_on(context):
        began.set()
        await asyncio.Event().wait()

    interrupted = asyncio.create_task(results_of(goes_on, store=Removed))
    await began.wait()
    interrupted.cancel()
    with pytest.raises(asyncio.CancelledError):
        await interrupted
    assert len({name for name in Removed.removed if name.endswith("_1")}) == 1


@pytest.mark.parametrize(
    "error",
    [StoreUnavailable("gone"), OSError(24, "Too many open files"), KeyError("x"),
     OutOfResources("disk full"), AppendRefused("no reason of the check's")],
)  # fmt: skip
async def test_an_error_that_no_check_raised_as_its_judgement_is_no_failure(error):
    async def ends(context):
        context.count("looks", least=1)
        raise error

    (result,) = await results_of(ends)
    assert result.verdict is NOT_REACHED
    assert type(error).__name__ in result.why


async def test_what_a_second_try_reaches_counts():
    tries = []

    async def reached_at_last(context):
        tries.append(context)
        context.count("looks", least=1)
        if len(tries) == 1:
            raise StoreUnavailable("not for a moment")

    (result,) = await results_of(reached_at_last)
    assert result.verdict is HOLDS


async def test_a_failure_on_a_store_that_takes_nothing_afterwards_accuses_nobody():
    class Full(MemoryStore):
        async def append(self, stream, events, *, expected):
            raise OutOfResources("no space left")

    async def judges(context):
        raise Broken("an event is gone")

    (result,) = await results_of(judges, store=Full)
    assert result.verdict is NOT_REACHED
    assert "no space left" in result.why
    assert (await results_of(judges))[0].verdict is FAILS


async def test_what_needs_a_protocol_that_the_store_lacks_opens_nothing():
    opened = []

    class Opened(MemoryStore):
        @classmethod
        def declares(cls, options):
            return replace(super().declares(options), writers="many")

        @classmethod
        async def connect(cls, endpoint, options):
            opened.append(endpoint)
            return await super().connect(endpoint, options)

    factory = StoreFactory(Opened, Endpoint(namespace="eslab_lacking"), MemoryOptions())
    checks = [each for each in all_checks().values() if each.declaration.needs is Boundaries]
    assert len(checks) == 8
    results = await measure(StoreUnderTest("made", factory), checks, QUICK)
    assert {each.verdict for each in results.values()} == {CheckVerdict.UNSUPPORTED}
    assert not opened


async def test_a_failure_does_not_fence_the_only_writer():
    """As a single owner does: the last connection that appends is the one that may."""

    class Fenced(MemoryStore):
        owners: ClassVar[list[MemoryStore]] = []

        async def append(self, stream, events, *, expected):
            if self in self.owners[:-1]:
                raise AppendRefused("another owner took over", reason="Fenced")
            if self not in self.owners:
                self.owners.append(self)
            return await super().append(stream, events, expected=expected)

    async def judges(context):
        await context.append(context.stream(), context.events())
        raise Broken("an event is gone")

    async def appends(context):
        await context.append(context.stream(), context.events())
        context.count("appends", least=1)

    results = await results_of(appends, judges, appends, store=Fenced)
    assert [each.verdict for each in results] == [HOLDS, FAILS, HOLDS]


async def test_a_driver_that_hangs_costs_one_check(monkeypatch):
    """In a call, in closing, and where it does not even end when it is cancelled."""
    monkeypatch.setattr(running, "CLOSING_LIMIT_S", 0.2)
    monkeypatch.setattr(running, "ABANDONED_AFTER_S", 0.2)

    class Hangs(MemoryStore):
        @classmethod
        def declares(cls, options):
            return replace(super().declares(options), writers="many")

        async def aclose(self):
            if getattr(self, "hangs", False):
                await asyncio.Event().wait()

    async def hangs(context):
        await asyncio.Event().wait()

    async def hangs_at_the_end(context):
        context.count("looks", least=1)
        context.store.hangs = True

    async def is_deaf(context):
        ends = asyncio.get_running_loop().time() + 4
        while asyncio.get_running_loop().time() < ends:
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                continue

    results = await results_of(hangs, hangs_at_the_end, is_deaf, looked, store=Hangs)
    assert [each.verdict for each in results] == [NOT_REACHED] * 3 + [HOLDS]
    assert "not finished within 1 s" in results[0].why
    assert "closing its connections was not finished" in results[1].why
