"""Running checks on a store that is broken on purpose."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from uuid import uuid4

from harness.conformance import (
    FAST,
    CheckResult,
    CheckVerdict,
    StoreUnderTest,
    all_checks,
    measure,
)
from harness.domain.factory import StoreFactory
from harness.domain.store import Endpoint
from harness.stores.memory.store import MemoryOptions, MemoryStore

from .broken.machine import Machine, Served

QUICK = replace(FAST, seconds=0.3, processes=0, within_s=2.0, again_within_s=4.0)
PATIENT = replace(QUICK, rounds_min=100, seconds=2.0)
"""Rounds and time enough for a fault of one in two hundred, on a busy machine, too."""


async def results_of(
    store: type[MemoryStore], *, numbers: Collection[int] = ()
) -> dict[int, CheckResult]:
    """The result of these checks, or of all; patiently where the fault is left to chance."""
    profile = PATIENT if hasattr(store, "chance") else QUICK
    namespace = f"eslab_{uuid4().hex[:12]}"
    server = Machine(namespace) if issubclass(store, Served) else None
    made = type(store.__name__, (store,), {"machine": server})
    factory = StoreFactory(made, Endpoint(namespace=namespace), MemoryOptions())
    checks = [each for number, each in all_checks().items() if not numbers or number in numbers]
    async with factory.set_up():
        return dict(await measure(StoreUnderTest(store.__name__, factory, server), checks, profile))


def failures(results: Mapping[int, CheckResult]) -> dict[int, str]:
    """Why checks fail, by their numbers."""
    return {
        number: each.why for number, each in results.items() if each.verdict is CheckVerdict.FAILS
    }
