"""Subscribe: writers append while subscribers follow; what counts is when they are told."""

from __future__ import annotations

import asyncio
from random import Random

from pydantic import Field

from harness.errors import ReadFailed, StoreUnavailable
from harness.store import EventStore, Position, StreamState
from harness.workload import Cycle, Delivery, WorkloadKind, WorkloadParameters

_RECONNECT_S = 0.1


class SubscribeParameters(WorkloadParameters):
    """Parameters of `subscribe`."""

    subscribers: int = Field(1, ge=1, le=256, description="subscribers, each gets every event")
    batch_size: int = Field(1, ge=1, le=1000, description="events in one append")


class Subscribe:
    """Appends are the operations; the subscribers run beside them from the beginning."""

    def __init__(self, parameters: SubscribeParameters) -> None:
        self.subscribers = parameters.subscribers
        self._batch_size = parameters.batch_size

    async def prepare(self, store: EventStore) -> None:
        """Nothing to prepare."""

    async def run(self, store: EventStore, cycle: Cycle, rng: Random) -> None:
        """Append one batch to a chosen stream."""
        stream = cycle.choose_stream(rng)
        await store.append(stream, cycle.new_events(self._batch_size), expected=StreamState.ANY)

    async def follow(self, store: EventStore, delivery: Delivery) -> None:
        """Handle every event; after a lost connection go on behind the last one handled."""
        checkpoint: Position | None = None
        while True:
            try:
                async for event in store.subscribe(after=checkpoint):
                    delivery.handled(event)
                    checkpoint = event.position
            except (ReadFailed, StoreUnavailable):
                await asyncio.sleep(_RECONNECT_S)


WORKLOAD = WorkloadKind(
    name="subscribe",
    summary="writers plus subscribers: delivery latency from acknowledged append to handler",
    parameters=SubscribeParameters,
    make=Subscribe,
)
