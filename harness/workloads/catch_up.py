"""Catch-up: read the whole log from its start, as a new projection does."""

from __future__ import annotations

from random import Random

from pydantic import Field

from harness.domain.store import EventStore
from harness.domain.workload import Cycle, WorkloadKind, WorkloadParameters


class CatchUpParameters(WorkloadParameters):
    """Parameters of `catch_up`."""

    limit: int | None = Field(None, ge=1, description="events read at most; null reads all")


class CatchUp:
    """Read all events in global order."""

    def __init__(self, parameters: CatchUpParameters) -> None:
        self._limit = parameters.limit

    async def prepare(self, store: EventStore) -> None:
        pass

    async def run(self, store: EventStore, cycle: Cycle, rng: Random) -> None:  # noqa: ARG002
        count = 0
        async for _ in store.read_all(limit=self._limit):
            count += 1
        cycle.count_events(count)


WORKLOAD = WorkloadKind(
    name="catch_up",
    summary="read the whole prefilled log in global order",
    parameters=CatchUpParameters,
    make=CatchUp,
    reads_prefilled=True,
)
