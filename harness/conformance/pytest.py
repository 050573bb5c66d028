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

from harness.conformance.bench import Controlled, Reach
from harness.conformance.check import Check, Verdict
from harness.conformance.judging import Judgement, judge
from harness.conformance.profiles import FAST, Profile
from harness.conformance.registry import numbered
from harness.conformance.running import Subject, measure
from harness.store import Adapter, Endpoint

_ANYWHERE = Endpoint()


def conformance_of(
    adapter: type[Adapter],
    options: Any,
    endpoint: Endpoint | Callable[[], Endpoint] = _ANYWHERE,
    *,
    server: Controlled | None = None,
    checks: str = "",
    profile: Profile = FAST,
) -> Callable[[Check], None]:
    """A parametrised test, a case for each check, each in a namespace of its own.

    It fails where something declared is not so, with the evidence; what is declared
    unsupported, not promised or could not be reached is a skip that says why.
    `server` lets checks restart, kill and pause it. `checks` is a list like `9,16`.
    """

    @pytest.mark.parametrize("check", numbered(checks), ids=_id)
    def test_conformance(check: Check) -> None:
        place = endpoint() if callable(endpoint) else endpoint
        place = replace(place, namespace=f"eslab_{uuid4().hex[:12]}")
        subject = Subject(adapter.__name__, Reach(adapter, place, options), server)
        _report(asyncio.run(_judged(subject, check, profile)))

    return test_conformance


def _id(check: Check) -> str:
    return f"{check.number}-{check.name.replace(' ', '-')}"


async def _judged(subject: Subject, check: Check, profile: Profile) -> Judgement:
    store = await subject.reach.opened()
    try:
        await store.setup()
        found = await measure(subject, [check], profile)
        await store.teardown()
    finally:
        await store.aclose()
    provider = subject.reach.endpoint.provider
    return judge(check, found[check.number], subject.guarantees, provider=provider)


def _report(judged: Judgement) -> None:
    finding = judged.finding
    if judged.defect:
        steps = [f"  {each.who}: {each.did} → {each.result}" for each in finding.evidence]
        pytest.fail("\n".join([f"{judged.word}: {finding.why}", *steps]), pytrace=False)
    if finding.verdict is not Verdict.HOLDS:
        pytest.skip(f"{judged.word}: {finding.why}")
