"""Append: write a batch of fresh events to a stream, with or without an expected version."""

from __future__ import annotations

from random import Random
from typing import Literal

from pydantic import Field

from harness.store import EventStore, StreamState
from harness.workload import Cycle, WorkloadKind, WorkloadParameters

ANY = StreamState.ANY
"""Looked up once: Python 3.11 finds an enum's member through a function call each time."""


class AppendParameters(WorkloadParameters):
    """Parameters of `append`."""

    batch_size: int = Field(1, ge=1, le=1000, description="events in one append")
    expected: Literal["any", "exact"] = Field(
        "any",
        description="`any`: no expected version. `exact`: the version that this client saw last;"
        " a conflict is the operation's outcome and is not retried",
    )


class AppendAny:
    """Append without an expected version."""

    def __init__(self, parameters: AppendParameters) -> None:
        self._batch_size = parameters.batch_size

    async def prepare(self, store: EventStore) -> None:
        """Nothing to prepare."""

    async def run(self, store: EventStore, cycle: Cycle, rng: Random) -> None:
        """Append one batch to a chosen stream."""
        stream = cycle.choose_stream(rng)
        await store.append(stream, cycle.new_events(self._batch_size), expected=ANY)


class AppendExact:
    """Append behind the newest version that the clients of this process know of."""

    def __init__(self, parameters: AppendParameters) -> None:
        self._batch_size = parameters.batch_size
        self._heads: dict[str, int] = {}

    async def prepare(self, store: EventStore) -> None:
        """Learn the heads that prefilling has left."""
        async for event in store.read_all():
            self._heads[event.stream] = event.version

    async def run(self, store: EventStore, cycle: Cycle, rng: Random) -> None:
        """Append one batch with the expected version of the chosen stream."""
        stream = cycle.choose_stream(rng)
        expected = self._heads.get(stream, StreamState.NO_STREAM)
        events = cycle.new_events(self._batch_size)
        result = await store.append(stream, events, expected=expected)
        self._heads[stream] = result.version


def make(parameters: AppendParameters) -> AppendAny | AppendExact:
    """The workload for these parameters."""
    return (AppendExact if parameters.expected == "exact" else AppendAny)(parameters)


WORKLOAD = WorkloadKind(
    name="append",
    summary="append batches of events, ANY or exact version",
    parameters=AppendParameters,
    make=make,
)
