"""What a scenario file may say: strict models, from which the JSON Schema is made, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, Tag, model_validator

from harness.scenario.require import Require
from harness.scenario.shapes import Model, Share, by_shape

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
"""Less does not hold a JSON object with an event's number in it."""


class Closed(Model):
    """Clients that wait for each answer."""

    workers: int = Field(8, ge=1, le=WORKERS_MAX, description="clients, one operation each")


Rate = Annotated[float, Field(gt=0, le=10_000_000)]


class Ramp(Model):
    """Rates at even distances, a trial each."""

    model_config = ConfigDict(validate_by_name=False, validate_by_alias=True)
    first: Rate = Field(alias="from", description="operations a second in the first step")
    last: Rate = Field(alias="to", description="and in the last one")
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


class Search(Model):
    """The highest rate at which an objective holds."""

    slo: Objective
    probe_s: float = Field(3.0, gt=0, le=600, description="how long each rate is tried")


class Open(Model):
    """Operations at set times, whatever the store does."""

    rate_per_s: Rate | None = Field(None, description="operations a second")
    of_capacity: float | None = Field(
        None, gt=0, le=2, description="a fraction of what the store reached in a closed loop"
    )
    ramp: Ramp | None = Field(None, description="several rates, a trial each")
    search: Search | None = Field(None, description="the highest rate that holds an objective")
    arrivals: Literal["poisson", "uniform"] = "poisson"
    in_flight_max: int = Field(256, ge=1, le=WORKERS_MAX, description="beyond it they queue")
    deadline_s: float | None = Field(
        None, gt=0, le=3600, description="an operation queued for longer is dropped, and counted"
    )
    pacer: Literal["auto", "timerfd", "sleep", "spin"] = Field(
        "auto", description="what waits for intended times; spin takes a whole core"
    )

    @model_validator(mode="after")
    def _one_rate(self) -> Open:
        ways = (self.rate_per_s, self.of_capacity, self.ramp, self.search)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("expected one of rate_per_s, of_capacity, ramp and search")
        return self


Processes: TypeAlias = Annotated[
    Annotated[Literal["auto"], Tag("word")]
    | Annotated[int, Field(ge=1, le=PROCESSES_MAX), Tag("number")],
    by_shape(word=str, number=object),
]


class Load(Model):
    """`closed` or `open`."""

    closed: Closed | None = None
    open: Open | None = None
    processes: Processes = Field(
        1, description="worker processes that share the load; auto: one for every two cores"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Load:
        if (self.closed is None) == (self.open is None):
            raise ValueError("expected one of closed and open")
        return self

    @model_validator(mode="after")
    def _work_for_all(self) -> Load:
        clients = (
            self.closed.workers if self.closed else self.open.in_flight_max if self.open else 0
        )
        if isinstance(self.processes, int) and self.processes > clients:
            raise ValueError(f"expected at most a process a client; got {self.processes}")
        return self


class Spread(Model):
    """Log-normal sizes."""

    median: int = Field(ge=1, le=DATA_MAX_BYTES)
    sigma: float = Field(0.5, ge=0, le=5, description="of the sizes' logarithm")
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


class Events(Model):
    """What events look like."""

    types: dict[Annotated[str, Field(min_length=1, max_length=200)], Weight] = Field(
        default={"OrderPlaced": 1.0}, min_length=1, max_length=1000,
        description="names of event types and how often each comes, relative to the others",
    )  # fmt: skip
    size_bytes: Size = Field(256, description="of an event's data: fixed, or a distribution")
    content: Literal["json", "random"] = Field("json", description="never zeros")

    @model_validator(mode="after")
    def _json_fits(self) -> Events:
        least = self.size_bytes.min if isinstance(self.size_bytes, Spread) else self.size_bytes
        if self.content == "json" and least < JSON_MIN_BYTES:
            raise ValueError(f"JSON events take at least {JSON_MIN_BYTES} bytes; got {least}")
        return self


class Zipf(Model):
    """Stream k is chosen in proportion to 1 / k ** zipf."""

    zipf: float = Field(gt=0, le=10, description="the exponent")


Choice: TypeAlias = Annotated[
    Annotated[Literal["uniform", "latest"], Tag("word")] | Annotated[Zipf, Tag("zipf")],
    by_shape(zipf=(dict, Zipf), word=object),
]


class Streams(Model):
    """The streams that operations go to."""

    count: int = Field(1000, ge=1, le=STREAMS_MAX)
    category: str = Field("order", pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")
    choice: Choice = "uniform"
    prefill: int = Field(0, ge=0, le=1_000_000, description="events in each, before the load")
    cache: Literal["warm", "cold"] = Field("warm", description="cold restarts the server first")

    @model_validator(mode="after")
    def _bounded(self) -> Streams:
        events = self.count * self.prefill
        if events > PREFILL_MAX:
            raise ValueError(f"{events:,} prefilled events; expected at most {PREFILL_MAX:,}")
        return self


class Path(Model):
    """The network between generator and server."""

    rtt_ms: float = Field(
        0, ge=0, le=10_000, description="added to each round trip: what a network would cost"
    )


class Verify(Model):
    """How much is read back after a trial."""

    streams_max: int = Field(1000, ge=1, le=STREAMS_MAX, description="streams read one by one")


VerifyOrNot: TypeAlias = Annotated[
    Annotated[bool | Literal["conformance"], Tag("word")] | Annotated[Verify, Tag("verify")],
    by_shape(verify=(dict, Verify), word=object),
]


class StoreEntry(Model):
    """A store with its options spelt out."""

    store: str
    options: dict[str, Any] = Field(default={})


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
Setting = str | int | float | bool
Scalar = str | int | float | bool


class ScenarioFile(Model):
    """A declared experiment."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    description: str = Field("", max_length=2000, description="the question that it answers")
    seed: int = Field(1, ge=0, le=2**63 - 1)
    stores: list[Stores] = Field(min_length=1, max_length=1000)
    servers: Mapping[str, dict[str, Setting]] = Field(
        default={}, description="settings that a technology's server is started with"
    )
    workload: Workload
    load: Load = Load(closed=Closed())
    events: Events = Events()
    streams: Streams = Streams()
    path: Path = Path()
    warm_up_s: float = Field(1.0, ge=0, le=3600)
    duration_s: float | None = Field(
        None, gt=0, le=DURATION_MAX_S, description="how long to measure; 5 s if nothing is said"
    )
    operations: int | None = Field(
        None, ge=1, le=10**10,
        description="instead of a duration: so many operations, which makes counted costs alike",
    )  # fmt: skip
    drain_s: float = Field(5.0, ge=0, le=3600, description="how long unfinished work may take")
    repetitions: int = Field(1, ge=1, le=1000)
    verify: VerifyOrNot = Field(
        default=True,
        description="read back what was acknowledged; conformance: run every check as well",
    )
    require: Require = Field(Require(), description="what a store must keep to be adopted")
    vary: dict[str, Annotated[list[Any], Field(min_length=1, max_length=VALUES_MAX)]] = Field(
        default={}, description="dotted names and their values; each combination is a trial"
    )

    @model_validator(mode="after")
    def _one_length(self) -> ScenarioFile:
        if self.duration_s is not None and self.operations is not None:
            raise ValueError("expected one of duration_s and operations")
        return self
