"""The content of a scenario file as strict frozen models, which a run uses as they are.

`ScenarioFile` is a whole file. `Scenario` and its `Trial`s are what a file expands to.
The JSON Schema of scenario files comes from these models; `title` is a model's name in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from harness.domain import durability as durability_classes
from harness.domain import formatting
from harness.domain.faults import Fault
from harness.domain.flags import Flag
from harness.domain.workload import WorkloadParameters
from harness.scenario.faults import FAULTS_MAX, FaultEntry
from harness.scenario.names import StoreRef

WORKERS_MAX = 10_000
PROCESSES_MAX = 64
DURATION_MAX_S = 86_400.0
STREAMS_MAX = 10_000_000
PREFILL_MAX = 1_000_000_000
"""Events in all streams together."""
VALUES_MAX = 1_000
"""Of one name in `vary`."""
DATA_MAX_BYTES = 16 * 1024 * 1024
JSON_MIN_BYTES = 32
"""A JSON object with an event's number does not fit into less."""
DURATION_S = 5.0
"""Measured where a scenario gives neither a duration nor a number of operations."""

Scalar = str | int | float | bool


class Model(BaseModel):
    """Strict, frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def by_shape(**shapes: type | tuple[type, ...]) -> Discriminator:
    """Tells the branches of a union apart by the Python type of the value in the file."""

    def tag(value: Any) -> str:
        for name, kind in shapes.items():
            if isinstance(value, kind):
                return name
        return next(iter(shapes))

    return Discriminator(tag)


def _share(value: Any) -> Any:
    """`0.1%` is 0.001."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip()[:-1]) / 100
        except ValueError:
            return value
    return value


Share: TypeAlias = Annotated[
    float,
    Field(ge=0, le=1),
    BeforeValidator(_share),
    WithJsonSchema({"type": ["number", "string"], "pattern": r"^[0-9.]+ ?%$"}),
]


class ClosedLoop(Model):
    """Clients that wait for each answer."""

    model_config = ConfigDict(title="Closed")
    workers: int = Field(
        8, ge=1, le=WORKERS_MAX, description="clients, each with one operation at a time"
    )

    def __str__(self) -> str:
        return f"closed, {self.workers} worker{'s' if self.workers != 1 else ''}"


Rate = Annotated[float, Field(gt=0, le=10_000_000)]


class Ramp(Model):
    """Evenly spaced rates, one trial each."""

    model_config = ConfigDict(validate_by_name=False, validate_by_alias=True)
    first: Rate = Field(alias="from", description="operations a second in the first step")
    last: Rate = Field(alias="to", description="operations a second in the last step")
    steps: int = Field(ge=2, le=VALUES_MAX)

    def rates(self) -> list[float]:
        """The steps, operations a second."""
        width = (self.last - self.first) / (self.steps - 1)
        return [float(f"{self.first + width * step:.6g}") for step in range(self.steps)]

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Ramp:
        if len(set(self.rates())) < self.steps:
            raise ValueError("expected from and to far enough apart for that many steps")
        return self


class Objective(Model):
    """What must hold at a rate, in response times and failures."""

    p50_ms: float | None = Field(None, gt=0, le=3_600_000)
    p99_ms: float | None = Field(None, gt=0, le=3_600_000)
    errors: Share = Field(0.001, description="share of operations that may fail: 0.001 or 0.1%")

    @model_validator(mode="after")
    def _asks_for_something(self) -> Objective:
        if self.p50_ms is None and self.p99_ms is None:
            raise ValueError("expected p50_ms, p99_ms or both")
        return self

    def __str__(self) -> str:
        times = (("p50", self.p50_ms), ("p99", self.p99_ms))
        limits = [f"{name} ≤ {limit:g} ms" for name, limit in times if limit is not None]
        return " and ".join([*limits, f"errors ≤ {self.errors * 100:g} %"])


class Search(Model):
    """The highest rate at which an objective holds."""

    slo: Objective
    probe_s: float = Field(3.0, gt=0, le=600, description="how long each rate is tried")


class OpenLoop(Model):
    """Operations at set times, whatever the store does."""

    model_config = ConfigDict(title="Open")
    rate_per_s: Rate | None = Field(None, description="operations a second")
    """`None` with `of_capacity` or `search` until the run has chosen the rate."""
    of_capacity: float | None = Field(
        None, gt=0, le=2, description="a fraction of what the store reached in a closed loop"
    )
    ramp: Ramp | None = Field(None, description="several rates, one trial each")
    """Never in a trial: a ramp expands into values of `vary`."""
    search: Search | None = Field(None, description="the highest rate that holds an objective")
    arrivals: Literal["poisson", "uniform"] = "poisson"
    in_flight_max: int = Field(256, ge=1, le=WORKERS_MAX, description="more operations wait")
    deadline_s: float | None = Field(
        None, gt=0, le=3600, description="an operation queued for longer is dropped, and counted"
    )
    pacer: Literal["auto", "timerfd", "sleep", "spin"] = Field(
        "auto", description="how to wait for intended times; spin uses a whole core"
    )

    @model_validator(mode="after")
    def _one_rate(self) -> OpenLoop:
        rates = (self.rate_per_s, self.of_capacity, self.ramp, self.search)
        if sum(rate is not None for rate in rates) != 1:
            raise ValueError("expected one of rate_per_s, of_capacity, ramp and search")
        return self

    def at_rate(self, rate_per_s: float) -> OpenLoop:
        """The same load at the rate that the run has chosen."""
        return self.model_copy(update={"rate_per_s": rate_per_s})

    def __str__(self) -> str:
        if self.of_capacity is not None:
            rate = f"{self.of_capacity * 100:g} % of capacity"
        elif self.search is not None:
            rate = f"highest rate with {self.search.slo},"
        else:
            rate = f"{formatting.unit_free(self.rate_per_s or 0.0)}/s"
        return f"open, {rate} {self.arrivals}, ≤ {self.in_flight_max} in flight"


Load: TypeAlias = ClosedLoop | OpenLoop


Processes: TypeAlias = Annotated[
    Annotated[Literal["auto"], Tag("word")]
    | Annotated[int, Field(ge=1, le=PROCESSES_MAX), Tag("number")],
    by_shape(word=str, number=object),
]


class LoadSection(Model):
    """`closed` or `open`."""

    model_config = ConfigDict(title="Load")
    closed: ClosedLoop | None = None
    open: OpenLoop | None = None
    processes: Processes = Field(
        1, description="worker processes that share the load; auto: tried out, store by store"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> LoadSection:
        if (self.closed is None) == (self.open is None):
            raise ValueError("expected one of closed and open")
        return self

    @model_validator(mode="after")
    def _work_for_all(self) -> LoadSection:
        offered = self.offered
        clients = offered.workers if isinstance(offered, ClosedLoop) else offered.in_flight_max
        if isinstance(self.processes, int) and self.processes > clients:
            raise ValueError(f"expected at most a process a client; got {self.processes}")
        return self

    @property
    def offered(self) -> Load:
        """The one of the two that the file gives."""
        offered = self.closed or self.open
        assert offered is not None, "the model takes exactly one"
        return offered


class Spread(Model):
    """Log-normal sizes."""

    median: int = Field(ge=1, le=DATA_MAX_BYTES)
    sigma: float = Field(0.5, ge=0, le=5, description="spread of the sizes' logarithm")
    min: int = Field(JSON_MIN_BYTES, ge=1, le=DATA_MAX_BYTES)
    max: int = Field(1024 * 1024, ge=1, le=DATA_MAX_BYTES)

    @model_validator(mode="after")
    def _ordered(self) -> Spread:
        if not self.min <= self.median <= self.max:
            raise ValueError("expected min ≤ median ≤ max")
        return self


Bytes = Annotated[int, Field(ge=1, le=DATA_MAX_BYTES)]
Size: TypeAlias = Annotated[
    Annotated[Bytes, Tag("fixed")] | Annotated[Spread, Tag("spread")],
    by_shape(spread=(dict, Spread), fixed=object),
]
Weight = Annotated[float, Field(gt=0, le=1_000_000)]


class EventShape(Model):
    """What events look like."""

    model_config = ConfigDict(title="Events")
    types: dict[Annotated[str, Field(min_length=1, max_length=200)], Weight] = Field(
        default={"OrderPlaced": 1.0}, min_length=1, max_length=1000,
        description="names of event types and their relative weights",
    )  # fmt: skip
    size_bytes: Size = Field(256, description="of an event's data: fixed, or a distribution")
    content: Literal["json", "random"] = Field("json", description="JSON objects or random bytes")

    @model_validator(mode="after")
    def _json_fits(self) -> EventShape:
        least = self.size_bytes.min if isinstance(self.size_bytes, Spread) else self.size_bytes
        if self.content == "json" and least < JSON_MIN_BYTES:
            raise ValueError(f"JSON events take at least {JSON_MIN_BYTES} bytes; got {least}")
        return self


class Zipf(Model):
    """Stream k is chosen in proportion to 1 / k ** zipf."""

    zipf: float = Field(gt=0, le=10, description="the exponent")


StreamChoice: TypeAlias = Annotated[
    Annotated[Literal["uniform", "latest"], Tag("word")] | Annotated[Zipf, Tag("zipf")],
    by_shape(zipf=(dict, Zipf), word=object),
]


class Streams(Model):
    """The streams that operations go to."""

    count: int = Field(1000, ge=1, le=STREAMS_MAX)
    category: str = Field("order", pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")
    choice: StreamChoice = "uniform"
    prefill: int = Field(0, ge=0, le=1_000_000, description="events in each before the load")
    cache: Literal["warm", "cold"] = Field("warm", description="cold restarts the server first")

    @property
    def names(self) -> list[str]:
        """`<category>-0`, `<category>-1`, …"""
        return [f"{self.category}-{number}" for number in range(self.count)]

    @model_validator(mode="after")
    def _bounded(self) -> Streams:
        events = self.count * self.prefill
        if events > PREFILL_MAX:
            raise ValueError(f"{events:,} prefilled events; expected at most {PREFILL_MAX:,}")
        return self


class NetworkPath(Model):
    """The network between generator and server."""

    model_config = ConfigDict(title="Path")
    rtt_ms: float = Field(0, ge=0, le=10_000, description="delay added to each round trip")


class Verify(Model):
    """How much is read back after a trial."""

    streams_max: int = Field(1000, ge=1, le=STREAMS_MAX, description="streams read one by one")


VerifyOrNot: TypeAlias = Annotated[
    Annotated[bool | Literal["conformance"], Tag("word")] | Annotated[Verify, Tag("verify")],
    by_shape(verify=(dict, Verify), word=object),
]


_LIMITS = ("p50_ms", "p99_ms", "errors")


class Require(Model):
    """Promises and speeds. A stronger promise passes too: native for emulated, and so on."""

    durability: durability_classes.Required | None = Field(
        None, description="what an acknowledged append must survive"
    )
    occ: Literal["native", "emulated"] | None = Field(None, description="expected versions")
    atomic_append: Literal[True] | None = Field(None, description="all events of one or none")
    append_only: Literal["enforced", "by-convention"] | None = None
    idempotency: Literal["durable", "window"] | None = Field(None, description="of a retry")
    global_order: Literal["total", "per-partition"] | None = None
    gap_free_read: Literal[True] | None = Field(None, description="by a reader at the head")
    stream_read: Literal["indexed"] | None = None
    subscription: Literal["push", "poll"] | None = None
    payload: Literal["exact"] | None = Field(None, description="bytes come back as they were")
    writers: Literal["many", "one-per-partition"] | None = None
    at_rate_per_s: float | None = Field(
        None, gt=0, le=10_000_000, description="operations a second that the store must sustain"
    )
    p50_ms: float | None = Field(None, gt=0, le=3_600_000, description="response time at that rate")
    p99_ms: float | None = Field(None, gt=0, le=3_600_000, description="response time at that rate")
    errors: Share | None = Field(
        None, description="share that may fail at that rate; 0.1% by default"
    )

    @model_validator(mode="after")
    def _times_at_a_rate(self) -> Require:
        given = [name for name in _LIMITS if getattr(self, name) is not None]
        if given and self.at_rate_per_s is None:
            raise ValueError(f"expected at_rate_per_s with {given[0]}, which holds at a rate")
        return self

    def stated(self) -> dict[str, Any]:
        """The requirements that the file states."""
        return self.model_dump(exclude_none=True)


class StoreEntry(Model):
    """A store with its options spelt out, and what its clients do differently there."""

    store: str
    options: dict[str, Any] = Field(default={})
    workload: dict[str, Any] = Field(
        default={}, description="parameters of the scenario's workload that differ on this store"
    )


class WorkloadEntry(Model):
    """A workload and its parameters, which are its own model's to check."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    name: str


Stores: TypeAlias = Annotated[
    Annotated[str, Tag("name")] | Annotated[StoreEntry, Tag("entry")],
    by_shape(entry=(dict, StoreEntry), name=object),
    BeforeValidator(lambda value: "null" if value is None else value),
]
"""YAML reads the name of the store `null` as nothing."""
Workload: TypeAlias = Annotated[
    Annotated[str, Tag("name")] | Annotated[WorkloadEntry, Tag("entry")],
    by_shape(entry=(dict, WorkloadEntry), name=object),
]


class ScenarioFile(Model):
    """A declared experiment."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    description: str = Field("", max_length=2000, description="the question that it answers")
    seed: int = Field(1, ge=0, le=2**63 - 1)
    stores: list[Stores] = Field(min_length=1, max_length=1000)
    servers: Mapping[str, dict[str, Scalar]] = Field(
        default={}, description="settings that a technology's server is started with"
    )
    workload: Workload
    load: LoadSection = LoadSection(closed=ClosedLoop())
    events: EventShape = EventShape()
    streams: Streams = Streams()
    path: NetworkPath = NetworkPath()
    faults: list[FaultEntry] = Field(
        default=[], max_length=FAULTS_MAX, description="trouble while the load runs, at set times"
    )
    warm_up_s: float = Field(1.0, ge=0, le=3600)
    duration_s: float | None = Field(
        None, gt=0, le=DURATION_MAX_S, description="how long to measure; 5 s by default"
    )
    operations: int | None = Field(
        None, ge=1, le=10**10,
        description="instead of a duration; makes the counted costs of trials agree",
    )  # fmt: skip
    drain_s: float = Field(5.0, ge=0, le=3600, description="how long unfinished work may take")
    repetitions: int = Field(1, ge=1, le=1000)
    verify: VerifyOrNot = Field(
        default=True,
        description="read back what was acknowledged; conformance also runs every check",
    )
    require: Require = Field(Require(), description="what a store must keep to be adopted")
    vary: dict[str, Annotated[list[Any], Field(min_length=1, max_length=VALUES_MAX)]] = Field(
        default={}, description="dotted names and their values; each combination is a point"
    )

    @model_validator(mode="after")
    def _one_length(self) -> ScenarioFile:
        if self.duration_s is not None and self.operations is not None:
            raise ValueError("expected one of duration_s and operations")
        return self

    @property
    def workload_name(self) -> str:
        return self.workload if isinstance(self.workload, str) else self.workload.name

    @property
    def given_parameters(self) -> Mapping[str, Any]:
        """The workload's parameters as the file gives them, not validated."""
        return {} if isinstance(self.workload, str) else self.workload.model_extra or {}

    @property
    def read_back(self) -> Verify | None:
        """What is read back after each trial; `None` without verification."""
        if isinstance(self.verify, Verify):
            return self.verify
        return Verify() if self.verify else None

    @property
    def length_s(self) -> float | None:
        """How long to measure; `None` where the file gives a number of operations."""
        return None if self.operations is not None else self.duration_s or DURATION_S


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
    verify: Verify | None
    """What is read back after it; `None` without verification."""
    conformance: bool
    """The run also checks the store's guarantees, once, after its trials."""
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
    """Its half of a pair; empty where a run compares nothing."""
    fitting: Sequence[Flag] = ()
    """What differs from the scenario, because the store cannot do what it asks for."""
    faults: tuple[Fault, ...] = ()
    """Trouble while the load runs, in the order of its times."""

    @property
    def id(self) -> str:
        """A name that is safe in a file: `007-postgres-template`."""
        name = self.store.technology + (f"-{self.store.variant}" if self.store.variant else "")
        return f"{self.number:03d}-{name}"

    @property
    def expected_s(self) -> float:
        """Rough length of the trial, for dry runs and the time left."""
        return self.warm_up_s + (self.duration_s or DURATION_S) + 0.5


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
    """What a store must keep to be adopted, by name; empty where the file requires nothing."""


def point_label(point: Mapping[str, Scalar]) -> str:
    """`workers=8, data=256`: the last words of the varied names and their values."""
    return formatting.point(point)


def point_key(point: Mapping[str, Scalar]) -> str:
    """The point as canonical JSON, for grouping rows."""
    return json.dumps(dict(sorted(point.items())))
