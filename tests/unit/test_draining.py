"""After the load, subscribers are waited for until they have all that was written."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from harness.domain.errors import OutcomeUnknown
from harness.domain.store import Endpoint
from harness.load.coordinator import coordinate, inline_workers
from harness.load.trial_files import Sinks
from harness.scenario.model import ClosedLoop, EventShape, Streams, Trial
from harness.scenario.names import StoreRef
from harness.stores.memory.store import MemoryOptions, MemoryStore
from harness.workloads.subscribe import Subscribe, SubscribeParameters

OPERATIONS = 6


class Counting:
    """A sink that counts rows."""

    def __init__(self):
        self.rows = 0

    def write(self, block):
        self.rows += len(block)

    def close(self):
        pass


class DoesNotAnswer(MemoryStore):
    """Every second append is written, and its answer never comes."""

    appends = 0

    async def append(self, stream, events, *, expected):
        result = await super().append(stream, events, expected=expected)
        type(self).appends += 1
        if self.appends % 2:
            raise OutcomeUnknown("no answer")
        return result


class TakesItsTime(Subscribe):
    """A subscriber that has handled little when the load ends."""

    async def follow(self, store, delivery):
        async for event in store.subscribe(after=None):
            await asyncio.sleep(0.05)
            delivery.handled(event)


@pytest.mark.parametrize("store_type", [MemoryStore, DoesNotAnswer])
async def test_what_was_written_without_an_answer_is_waited_for_as_well(store_type):
    parameters = SubscribeParameters(subscribers=2)
    trial = Trial(
        number=1, scenario="draining", store=StoreRef("memory"),
        workload="subscribe", parameters=parameters, load=ClosedLoop(workers=2), processes=1,
        added_rtt_ms=0.0, events=EventShape(types={"Placed": 1}), streams=Streams(count=2),
        verify=None, conformance=False, server_settings={}, point={}, warm_up_s=0.0,
        duration_s=None, operations=OPERATIONS, drain_s=20.0, repetition=1, seed="draining",
    )  # fmt: skip
    store = await store_type.connect(Endpoint(namespace=uuid4().hex), MemoryOptions())
    await store.setup()
    deliveries = Counting()
    sinks = Sinks(None, None, deliveries)
    async with inline_workers(trial, store, TakesItsTime(parameters), sinks) as workers:
        await coordinate(workers, trial)
    assert deliveries.rows == 2 * OPERATIONS
    await store.teardown()
