"""Read stream: load one prefilled stream, as an application does before each decision."""

from __future__ import annotations

from random import Random

from pydantic import Field

from harness.domain.store import EventStore
from harness.domain.workload import Cycle, WorkloadKind, WorkloadParameters


class ReadStreamParameters(WorkloadParameters):
    """Parameters of `read_stream`."""

    limit: int | None = Field(None, ge=1, description="events read at most; null reads all")
    backwards: bool = Field(default=False, description="newest first")


class ReadStream:
    """Read a chosen stream from its start, or its newest events first."""

    def __init__(self, parameters: ReadStreamParameters) -> None:
        self._limit = parameters.limit
        self._backwards = parameters.backwards

    async def prepare(self, store: EventStore) -> None:
        pass

    async def run(self, store: EventStore, cycle: Cycle, rng: Random) -> None:
        count, newest = 0, -1
        stream = cycle.choose_stream(rng)
        async for event in store.read_stream(stream, limit=self._limit, backwards=self._backwards):
            count += 1
            if event.version > newest:  # noqa: PLR1730 - for every event read, and max() is a call
                newest = event.version
        cycle.count_events(count)
        if self._backwards or self._limit is None:
            cycle.saw(stream, newest)


WORKLOAD = WorkloadKind(
    name="read_stream",
    summary="read single prefilled streams",
    parameters=ReadStreamParameters,
    make=ReadStream,
    reads_prefilled=True,
)
