"""Restarts the server under a check, and makes sure that it was one."""

from __future__ import annotations

from harness.conformance.bench import Bench, Controlled
from harness.conformance.check import NotReached, Step
from harness.errors import StoreError


async def restarted(bench: Bench, server: Controlled) -> Step:
    """Restart it: a line of evidence. Raises `NotReached` where nothing shows that it was.

    Another process answers behind a restart; where the server does not tell its process, the
    connection of before must have been lost.
    """
    step = Step("the lab", "restarted the server", at_ms=bench.at_ms())
    bench.steps.append(step)
    before = server.endpoint.pid
    await server.restart()
    if server.endpoint.pid == before and not await _lost(bench):
        raise NotReached("the same process answers behind the restart, over the same connection")
    return step


async def _lost(bench: Bench) -> bool:
    """Whether the check's connection is no good any more."""
    return isinstance(await bench.attempt(bench.stream(), bench.events()), StoreError)
