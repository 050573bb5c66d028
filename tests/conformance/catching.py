"""Running checks on a store that is broken on purpose."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

from harness.conformance import FAST, Finding, Subject, Verdict, all_checks, measure
from harness.conformance.bench import Reach
from harness.store import Endpoint
from harness.stores.memory import MemoryOptions, MemoryStore

from .broken.machine import Machine, Served

QUICK = replace(FAST, seconds=0.3, processes=0, within_s=2.0)
PATIENT = replace(QUICK, rounds_min=100, seconds=2.0)
"""Rounds and time enough for a fault of one in two hundred, on a busy machine, too."""


async def found_in(store: type[MemoryStore], *, numbers=None) -> dict[int, Finding]:
    """What each check finds in it; patiently where its fault is left to chance."""
    profile = PATIENT if hasattr(store, "chance") else QUICK
    namespace = f"eslab_{uuid4().hex[:12]}"
    server = Machine(namespace) if issubclass(store, Served) else None
    made = type(store.__name__, (store,), {"machine": server})
    reach = Reach(made, Endpoint(namespace=namespace), MemoryOptions())
    opened = await reach.opened()
    await opened.setup()
    try:
        checks = [each for number, each in all_checks().items() if not numbers or number in numbers]
        return dict(await measure(Subject(store.__name__, reach, server), checks, profile))
    finally:
        await opened.teardown()


def failing(found: dict[int, Finding]) -> set[int]:
    """The numbers of the checks that fail."""
    return {number for number, finding in found.items() if finding.verdict is Verdict.FAILS}
