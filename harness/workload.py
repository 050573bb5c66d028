"""What a workload is, and what it is given: streams to choose, fresh events, nobody's clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from harness.store import EventStore, NewEvent, RecordedEvent


class WorkloadParameters(BaseModel):
    """Base of every workload's parameters: strict, frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Cycle(Protocol):
    """One operation's surroundings. The generator makes it; the workload only asks."""

    def choose_stream(self, rng: Random) -> str:
        """A stream name, by the scenario's choice (uniform, zipf, latest)."""
        ...

    def new_events(self, count: int) -> Sequence[NewEvent]:
        """Fresh events, each with its own id and payload."""
        ...

    def count_events(self, count: int) -> None:
        """Report how many events this operation read (appends are counted by the generator)."""
        ...

    async def think(self, seconds: float) -> None:
        """Wait as a deciding client would; part of the operation's service time."""
        ...


class Workload(Protocol):
    """What clients do. Reads like client code; `store` is an ordinary `EventStore`."""

    async def prepare(self, store: EventStore) -> None:
        """Once before the warm-up, after the streams were prefilled."""
        ...

    async def run(self, store: EventStore, cycle: Cycle, rng: Random) -> None:
        """One logical operation. A `StoreError` that leaves it is its outcome."""
        ...


class Delivery(Protocol):
    """Where a subscriber reports each event it has handled; the generator stamps the time."""

    def handled(self, event: RecordedEvent) -> None:
        """The event was handled just now."""
        ...


@runtime_checkable
class Subscribing(Protocol):
    """A workload that also runs subscribers beside its operations."""

    subscribers: int

    async def follow(self, store: EventStore, delivery: Delivery) -> None:
        """One subscriber, until it is cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class WorkloadKind:
    """What a file in `harness/workloads/` offers under the name `WORKLOAD`."""

    name: str
    summary: str
    parameters: type[WorkloadParameters]
    make: Any
    """`make(parameters) -> Workload`"""
    reads_prefilled: bool = False
    """Needs `streams.prefill` of at least 1."""
