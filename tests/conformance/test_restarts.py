"""A server that does nothing when it is restarted or killed proves nothing."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from harness.conformance import FAST, CheckVerdict, StoreUnderTest, all_checks, measure
from harness.conformance.framework.check_workers import CheckWorkers
from harness.domain.durability import Durability
from harness.domain.errors import StoreUnavailable
from harness.domain.factory import StoreFactory
from harness.domain.store import Endpoint
from harness.stores.memory.store import MemoryOptions, MemoryStore
from harness.stores.sqlite import SqliteOptions, SqliteStore

from .broken.apart import KnowsIdsOfItsProcessUnderAny
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


class InMemory(Served):
    @classmethod
    def declares(cls, options):
        return replace(super().declares(options), durability=Durability.MEMORY)


async def measured(store: type[MemoryStore], made: type[Machine], number: int):
    """What one check finds in a store on such a server."""
    namespace = f"eslab_{uuid4().hex[:12]}"
    server = made(namespace)
    factory = StoreFactory(type("Store", (store,), {"machine": server}),
                  Endpoint(namespace=namespace), MemoryOptions())  # fmt: skip
    opened = await factory.open()
    await opened.setup()
    try:
        under_test = StoreUnderTest("store", factory, server)
        return (await measure(under_test, [all_checks()[number]], QUICK))[number]
    finally:
        await opened.teardown()


@pytest.mark.parametrize("number", [26, 37, 48])
async def test_nothing_is_known_where_the_server_did_not_go_down(number):
    found = await measured(Served, DoesNothing, number)
    assert found.verdict is CheckVerdict.NOT_REACHED, found.why


@pytest.mark.parametrize("number", [26, 37, 48])
async def test_a_server_that_did_is_known_by_its_process(number):
    found = await measured(Served, Machine, number)
    assert found.verdict is CheckVerdict.HOLDS, found.why


@pytest.mark.parametrize("number", [26, 37])
async def test_or_by_the_connections_that_it_lost(number):
    found = await measured(LosesConnections, KeepsItsProcessToItself, number)
    assert found.verdict is CheckVerdict.HOLDS, found.why
    found = await measured(Served, KeepsItsProcessToItself, number)
    assert found.verdict is CheckVerdict.NOT_REACHED, found.why


async def test_what_one_process_knows_is_no_memory_of_the_store(tmp_path):
    """Where there is no server, other processes append, close, and this one sends it again."""
    workers = CheckWorkers(FAST.processes)
    verdicts = {}
    try:
        for store in (SqliteStore, KnowsIdsOfItsProcessUnderAny):
            endpoint = Endpoint(str(tmp_path), f"eslab_{store.__name__.lower()}")
            factory = StoreFactory(store, endpoint, SqliteOptions())
            async with factory.set_up():
                under_test = StoreUnderTest("store", factory)
                checks = [all_checks()[26]]
                verdicts[store] = (await measure(under_test, checks, QUICK, workers=workers))[26]
    finally:
        await workers.aclose()
    healthy, broken = verdicts.values()
    assert healthy.verdict is CheckVerdict.HOLDS, healthy.why
    assert broken.verdict is CheckVerdict.FAILS, broken.why
    assert "process" in broken.evidence[0].who


async def test_a_server_in_memory_has_nothing_left_after_a_restart():
    found = await measured(InMemory, Machine, 26)
    assert found.verdict is CheckVerdict.NOT_REACHED
    assert found.out_of_reach
    assert "memory" in found.why
