"""A declared experiment as frozen values: `Scenario`, and the `Trial`s that it expands to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from harness import words
from harness.scenario.naming import StoreRef
from harness.workload import WorkloadParameters

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """`workers` clients, each with one operation in flight: service time only."""

    workers: int

    def __str__(self) -> str:
        return f"closed, {self.workers} worker{'s' if self.workers != 1 else ''}"


@dataclass(frozen=True, slots=True)
class Objective:
    """What must hold at a rate: response times, and the share of operations that may fail."""

    p50_ms: float | None
    p99_ms: float | None
    errors: float

    def __str__(self) -> str:
        limits = (("p50", self.p50_ms), ("p99", self.p99_ms))
        told = [f"{name} ≤ {limit:g} ms" for name, limit in limits if limit is not None]
        return " and ".join([*told, f"errors ≤ {self.errors * 100:g} %"])


@dataclass(frozen=True, slots=True)
class Search:
    """Asks for the highest rate at which an objective holds, each rate tried for `probe_s`."""

    slo: Objective
    probe_s: float


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Operations intended at set times, whatever the store does: response time counts.

    With `of_capacity` or `search` the run itself finds the rate, which is 0 until then.
    """

    rate_per_s: float
    arrivals: Literal["poisson", "uniform"]
    in_flight_max: int
    deadline_s: float | None = None
    """An operation still queued this long after its intended time is dropped, and counted."""
    pacer: Literal["auto", "timerfd", "sleep", "spin"] = "auto"
    """What waits for intended times; `auto` is timerfd on Linux, else sleep."""
    of_capacity: float | None = None
    """A fraction of the throughput that the same run reached in a closed loop."""
    search: Search | None = None

    def __str__(self) -> str:
        rate = f"{self.rate_per_s:g}/s"
        if self.of_capacity is not None:
            rate = f"{self.of_capacity * 100:g} % of capacity"
        elif self.search is not None:
            rate = f"highest rate with {self.search.slo},"
        return f"open, {rate} {self.arrivals}, ≤ {self.in_flight_max} in flight"


Load = ClosedLoop | OpenLoop


@dataclass(frozen=True, slots=True)
class DataSize:
    """Sizes of `data` in bytes: `fixed` at `median`, or log-normal around it, within bounds."""

    kind: Literal["fixed", "lognormal"]
    median_bytes: int
    sigma: float
    min_bytes: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class EventShape:
    """What events look like. `types` maps a name to its weight."""

    types: Mapping[str, float]
    size: DataSize
    content: Literal["json", "random"]


@dataclass(frozen=True, slots=True)
class StreamChoice:
    """How an operation picks its stream. `exponent` is Zipf's s, for `zipf` alone."""

    kind: Literal["uniform", "zipf", "latest"]
    exponent: float = 0.0


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of a trial: `count` names `<category>-<number>`, each prefilled alike."""

    count: int
    category: str
    choice: StreamChoice
    prefill: int
    cache: Literal["warm", "cold"]


@dataclass(frozen=True, slots=True)
class Verify:
    """What is read back after a trial. `streams_max` bounds the single-stream reads (seeded)."""

    enabled: bool
    streams_max: int
    conformance: bool = False
    """The store's checks are run as well, once, behind the run's trials."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One store variant × one parameter point × one repetition, with its own seed."""

    number: int
    """Place in the order of the run, from 1."""
    scenario: str
    store: StoreRef
    workload: str
    parameters: WorkloadParameters
    load: Load
    processes: int | Literal["auto"]
    """Worker processes that share the load."""
    events: EventShape
    streams: Streams
    verify: Verify
    server_settings: Mapping[str, str]
    added_rtt_ms: float
    """Delay added to each round trip between generator and server."""
    point: Mapping[str, Scalar]
    """The varied names and their values here, e.g. `{"load.closed.workers": 8}`."""
    warm_up_s: float
    duration_s: float | None
    operations: int | None
    """Exactly one of `duration_s` and `operations` is set."""
    drain_s: float
    repetition: int
    """From 1."""
    seed: str
    """The same for every store of a point and repetition, so that they see the same load."""
    side: Literal["", "base", "candidate"] = ""
    """Which half of a pair it is; empty where nothing is being compared."""

    @property
    def id(self) -> str:
        """A name that is safe in a file: `007-postgres-template`."""
        name = self.store.technology + (f"-{self.store.variant}" if self.store.variant else "")
        return f"{self.number:03d}-{name}"

    @property
    def expected_s(self) -> float:
        """Rough expectation of the trial's length for dry runs and the ETA, in seconds."""
        return self.warm_up_s + (self.duration_s or 5.0) + 0.5


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario file, validated.

    `hash` is SHA-256 of what its trials offer, defaults spelt out: not of the text, and not of
    description, stores, requirements or repetitions, so that runs that share it can be compared.
    """

    name: str
    description: str
    seed: int
    path: str
    text: str
    hash: str
    repetitions: int
    trials: tuple[Trial, ...]
    require: Mapping[str, Scalar] = field(default_factory=lambda: MappingProxyType({}))
    """What a store must keep to be adopted, by name; empty where the file does not say."""


def point_label(point: Mapping[str, Scalar]) -> str:
    """`workers=8, data=256`: the last words of the varied names and their values."""
    return words.point(point)


def point_key(point: Mapping[str, Scalar]) -> str:
    """The point as canonical JSON, for grouping rows."""
    return json.dumps(dict(sorted(point.items())))
