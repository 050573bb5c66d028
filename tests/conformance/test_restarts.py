"""A server that does nothing when it is restarted or killed proves nothing."""

from __future__ import annotations

from uuid import uuid4

import pytest

from harness.conformance import Subject, Verdict, all_checks, measure
from harness.conformance.bench import Reach
from harness.errors import StoreUnavailable
from harness.store import Endpoint
from harness.stores.memory import MemoryOptions, MemoryStore

from .broken.machine import Machine, Served
from .catching import QUICK


class DoesNothing(Machine):
    async def restart(self, *, cold=False):
        pass

    async def kill(self):
        pass


class KeepsItsProcessToItself(Machine):
    """As somebody else's server may."""

    def __init__(self, namespace):
        super().__init__(namespace)
        self.endpoint = Endpoint(namespace=namespace)

    async def restart(self, *, cold=False):
        endpoint = self.endpoint
        await super().restart(cold=cold)
        self.endpoint = endpoint


class LosesConnections(Served):
    """Each is good until the next restart."""

    async def append(self, stream, events, *, expected):
        self.since = getattr(self, "since", self.machine.restarts)
        if self.since != self.machine.restarts:
            raise StoreUnavailable("the connection was lost")
        return await super().append(stream, events, expected=expected)


async def measured(store: type[MemoryStore], made: type[Machine], number: int):
    """What one check finds in a store on such a server."""
    namespace = f"eslab_{uuid4().hex[:12]}"
    server = made(namespace)
    reach = Reach(type("Store", (store,), {"machine": server}),
                  Endpoint(namespace=namespace), MemoryOptions())  # fmt: skip
    opened = await reach.opened()
    await opened.setup()
    try:
        subject = Subject("store", reach, server)
        return (await measure(subject, [all_checks()[number]], QUICK))[number]
    finally:
        await opened.teardown()


@pytest.mark.parametrize("number", [26, 37, 48])
async def test_nothing_is_known_where_the_server_did_not_go_down(number):
    found = await measured(Served, DoesNothing, number)
    assert found.verdict is Verdict.NOT_REACHED, found.why


@pytest.mark.parametrize("number", [26, 37, 48])
async def test_a_server_that_did_is_known_by_its_process(number):
    found = await measured(Served, Machine, number)
    assert found.verdict is Verdict.HOLDS, found.why


@pytest.mark.parametrize("number", [26, 37])
async def test_or_by_the_connections_that_it_lost(number):
    found = await measured(LosesConnections, KeepsItsProcessToItself, number)
    assert found.verdict is Verdict.HOLDS, found.why
    found = await measured(Served, KeepsItsProcessToItself, number)
    assert found.verdict is Verdict.NOT_REACHED, found.why
