"""Subscribe: writers append while subscribers follow; measures how late events reach them."""

from __future__ import annotations

import asyncio
from random import Random

from pydantic import Field

from harness.domain.cancellation import raise_if_cancelled
from harness.domain.errors import ReadFailed, StoreUnavailable
from harness.domain.store import EventStore, Position, StreamState
from harness.domain.workload import Cycle, Delivery, WorkloadKind, WorkloadParameters

_RECONNECT_S = 0.1


class SubscribeParameters(WorkloadParameters):
    """Parameters of `subscribe`."""

    subscribers: int = Field(1, ge=1, le=256, description="subscribers, each gets every event")
    batch_size: int = Field(1, ge=1, le=1000, description="events in one append")


class Subscribe:
    """Appends are the operations; subscribers run in parallel from the start."""

    def __init__(self, parameters: SubscribeParameters) -> None:
        self.subscribers = parameters.subscribers
        self._batch_size = parameters.batch_size

    async def prepare(self, store: EventStore) -> None:
        pass

    async def run(self, store: EventStore, cycle: Cycle, rng: Random) -> None:
        stream = cycle.choose_stream(rng)
        await store.append(stream, cycle.new_events(self._batch_size), expected=StreamState.ANY)

    async def follow(self, store: EventStore, delivery: Delivery) -> None:
        """Handle every event; after a lost connection resume after the last one handled."""
        checkpoint: Position | None = None
        while True:
            try:
                async for event in store.subscribe(after=checkpoint):
                    delivery.handled(event)
                    checkpoint = event.position
            except (ReadFailed, StoreUnavailable):
                raise_if_cancelled()
                await asyncio.sleep(_RECONNECT_S)


WORKLOAD = WorkloadKind(
    name="subscribe",
    summary="writers plus subscribers: delivery latency from acknowledged append to handler",
    parameters=SubscribeParameters,
    make=Subscribe,
)
