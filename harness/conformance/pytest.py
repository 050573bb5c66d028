"""The same checks from the test-suite of somebody else's store, in five lines:

from harness.conformance.pytest import conformance_of
from my_store import MyOptions, MyStore

test_conformance = conformance_of(MyStore, MyOptions())
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from harness.conformance.checks import numbered
from harness.conformance.framework.check import Check
from harness.conformance.framework.check_context import FAST, Profile
from harness.conformance.framework.check_result import CheckVerdict
from harness.conformance.framework.matrix import Judgement, judge
from harness.conformance.framework.running import StoreUnderTest, measure
from harness.domain.factory import StoreFactory
from harness.domain.server import Server
from harness.domain.store import Adapter, Endpoint

_ANYWHERE = Endpoint()


def conformance_of(
    adapter: type[Adapter],
    options: Any,
    endpoint: Endpoint | Callable[[], Endpoint] = _ANYWHERE,
    *,
    server: Server | None = None,
    checks: str = "",
    profile: Profile = FAST,
) -> Callable[[Check], None]:
    """A parametrised test with one case for each check, each in a namespace of its own.

    A case fails, with its evidence, if a declared guarantee does not hold. It is skipped, with the
    reason, if the guarantee is not declared, or could not be tested.
    With `server`, checks restart, kill and pause it. `checks` is a list like `9,16`.
    """

    @pytest.mark.parametrize("check", numbered(checks), ids=_id)
    def test_conformance(check: Check) -> None:
        place = endpoint() if callable(endpoint) else endpoint
        place = replace(place, namespace=f"eslab_{uuid4().hex[:12]}")
        under_test = StoreUnderTest(adapter.__name__, StoreFactory(adapter, place, options), server)
        _report(asyncio.run(_judged(under_test, check, profile)))

    return test_conformance


def _id(check: Check) -> str:
    return f"{check.number}-{check.name.replace(' ', '-')}"


async def _judged(under_test: StoreUnderTest, check: Check, profile: Profile) -> Judgement:
    async with under_test.factory.opened() as store:
        await store.setup()
        under_test = replace(under_test, factory=await under_test.factory.asked(store))
        results = await measure(under_test, [check], profile)
        await store.teardown()
    provider = under_test.factory.endpoint.provider
    return judge(check, results[check.number], under_test.guarantees, provider=provider)


def _report(judgement: Judgement) -> None:
    result = judgement.result
    if judgement.defect or judgement.unproven:
        steps = [f"  {each.who}: {each.did} → {each.result}" for each in result.evidence]
        pytest.fail("\n".join([f"{judgement.conclusion}: {result.why}", *steps]), pytrace=False)
    if result.verdict is not CheckVerdict.HOLDS:
        pytest.skip(f"{judgement.conclusion}: {result.why}")
