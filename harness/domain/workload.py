"""The `Workload` protocol, and a workload's inputs: streams, fresh events, and no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from harness.domain.server import ServerSettings
from harness.domain.store import (
    EventStore,
    ExpectedVersion,
    NewEvent,
    RecordedEvent,
    StoreKind,
)


class WorkloadParameters(BaseModel):
    """Base of every workload's parameters: strict, frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Cycle(Protocol):
    """The generator's services for one operation."""

    def choose_stream(self, rng: Random) -> str:
        """A stream name, by the scenario's choice (uniform, zipf, latest)."""
        ...

    def new_events(self, count: int) -> Sequence[NewEvent]:
        """Fresh events, each with its own id and payload."""
        ...

    def count_events(self, count: int) -> None:
        """Report how many events this operation read (appends are counted by the generator)."""
        ...

    def saw(self, stream: str, version: int) -> None:
        """Report how far this operation's last read of a stream's end showed it; -1 for nothing.

        The version is that of the newest event. Stale reads are counted from these reports.
        """
        ...

    async def think(self, seconds: float) -> None:
        """Wait as a client does while it decides; part of the operation's service time."""
        ...

    def within(self, seconds: float) -> bool:
        """Whether less than that has passed since the operation was sent; for its deadline."""
        ...

    def found(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion, version: int
    ) -> None:
        """Report that an append of this operation that got no answer was found by reading.

        It was sent as `expected`, and its last event has `version`. Its events count as
        acknowledged from here on.
        """
        ...


class Workload(Protocol):
    """What clients do, written like client code; `store` is an ordinary `EventStore`."""

    async def prepare(self, store: EventStore) -> None:
        """Called once, after the streams are prefilled and before the warm-up."""
        ...

    async def run(self, store: EventStore, cycle: Cycle, rng: Random) -> None:
        """One logical operation. A `StoreError` that it raises is its outcome."""
        ...


class Delivery(Protocol):
    """Where a subscriber reports each event it has handled; the generator records the time."""

    def handled(self, event: RecordedEvent) -> None:
        """The event was handled just now."""
        ...


@runtime_checkable
class Subscribing(Protocol):
    """A workload that also runs subscribers during its operations."""

    subscribers: int

    async def follow(self, store: EventStore, delivery: Delivery) -> None:
        """One subscriber, until it is cancelled."""
        ...


@runtime_checkable
class Counting(Protocol):
    """A workload that counts what its operations do. Counts of worker processes add up."""

    def counts(self) -> Mapping[str, int]:
        """Running totals, by the names of their columns in a run's trials."""
        ...


@runtime_checkable
class Audited(Protocol):
    """A workload with rules of its own, which the log of a finished trial shows kept or broken."""

    keeps_rules: bool
    """Whether its operations promise to keep them."""

    async def audit(self, store: EventStore) -> Mapping[str, int]:
        """Reads the whole log once; how often each rule is broken, zeros included, in words.

        Raises the store's `ReadFailed` or `StoreUnavailable`.
        """
        ...


@dataclass(frozen=True, slots=True)
class WorkloadKind:
    """What a file in `harness/workloads/`, or an entry point, offers under the name `WORKLOAD`."""

    name: str
    summary: str
    parameters: type[WorkloadParameters]
    make: Any
    """`make(parameters) -> Workload`"""
    reads_prefilled: bool = False
    """Needs `streams.prefill` of at least 1."""
    fitted: Any = None
    """`fitted(parameters, guarantees) -> (parameters, flags)`: what is run on a store that cannot
    do what the parameters ask for, and flags that say so. Raises `UnsupportedByStore` where there
    is nothing to run. `None`: nothing is changed."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every store and workload by name: what a scenario may use, without importing any store."""

    stores: Mapping[str, StoreKind]
    workloads: Mapping[str, WorkloadKind]
    settings: Mapping[str, ServerSettings] = field(default_factory=dict)
    """By technology; none of a server's settings may be declared where it has no entry."""
