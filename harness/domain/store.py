"""What every store adapter takes, returns and declares."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from harness.domain.durability import Durability


def category_of(stream: str) -> str:
    """The part of a stream's name before its first `-`; the whole name if there is none."""
    return stream.partition("-")[0]


class StreamState(Enum):
    """What an append may expect of a stream besides an exact version."""

    ANY = "any"
    NO_STREAM = "no-stream"
    EXISTS = "exists"


ExpectedVersion = int | StreamState
"""The version of the stream's last event (0 is the first), or a `StreamState`."""


class Position(tuple[int, ...]):
    """A store's opaque, resumable place in its global order.

    Only the store that made it may interpret it. `str()` and `parse()` round-trip it
    for checkpoints. `Position.NOW` makes a subscription deliver new events only.
    """

    __slots__ = ()
    NOW: ClassVar[Position]

    def __str__(self) -> str:
        return ".".join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> Position:
        """The position that `str()` wrote; `ValueError` on anything else."""
        return cls(int(part) for part in text.split("."))


Position.NOW = Position((-1,))


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event not yet written."""

    id: UUID
    type: str
    data: bytes
    metadata: bytes = b""


class _Unwritten:
    """A recorded event while its fields are set: it has the same slots, and is not frozen."""

    __slots__ = (
        "data",
        "id",
        "metadata",
        "position",
        "recorded_at",
        "stream",
        "type",
        "version",
    )


_become = object.__setattr__


@dataclass(frozen=True, slots=True, init=False)
class RecordedEvent:
    """An event read back. `version` counts from 0 in its stream; `recorded_at` is UTC."""

    id: UUID
    stream: str
    version: int
    position: Position
    type: str
    data: bytes
    metadata: bytes
    recorded_at: datetime

    def __init__(
        self,
        id: UUID,  # noqa: A002 - the field's name
        stream: str,
        version: int,
        position: Position,
        type: str,  # noqa: A002
        data: bytes,
        metadata: bytes,
        recorded_at: datetime,
    ) -> None:
        """As a class that is not frozen: a frozen dataclass's own takes three times as long."""
        _become(self, "__class__", _Unwritten)
        event: Any = self
        event.id = id
        event.stream = stream
        event.version = version
        event.position = position
        event.type = type
        event.data = data
        event.metadata = metadata
        event.recorded_at = recorded_at
        event.__class__ = RecordedEvent


UNTOLD = -1
"""The version in an `AppendResult` of a store that numbers events only when it reads them."""


@dataclass(frozen=True, slots=True)
class AppendResult:
    """Where the last event of an append was written; `position` only where the store returns it.

    `version` is `UNTOLD` where the store declares that it does not return one.
    """

    version: int
    position: Position | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folded state of a stream as of `version`."""

    stream: str
    version: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """Declared facts for the decision page, with their source. The lab does not measure them."""

    multi_stream_appends: str = "not stated"
    transactional_projections: str = "not stated"
    erasure: str = "not stated"
    backup: str = "not stated"
    licence: str = "not stated"
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantees:
    """What a store variant declares. The lab measures whether it holds."""

    occ: Literal["native", "emulated", "none"]
    occ_note: str = ""
    tells_version: bool = True
    """False where an append's version is `UNTOLD`: events get versions only on reading."""
    atomic_append: bool
    batch_limit: int | None = None
    global_order: Literal["total", "per-partition", "none"]
    gap_free_read: bool
    """A reader of the global order never skips an event: neither one that commits late, nor, when
    it resumes after a crash of the server, one that is appended afterwards."""
    idempotency: Literal["durable", "window", "none"]
    refuses_known_ids: bool = True
    """False where ANY writes known ids once more, if an append begins with an unknown one."""
    stream_read: Literal["indexed", "scan"]
    subscription: Literal["push", "poll", "none"]
    append_only: Literal["enforced", "by-convention", "none"]
    """`none`: an acknowledged event may be overwritten or lost without anyone tampering."""
    payload: Literal["exact", "json"] = "exact"
    """`json`: the same JSON value comes back, not the same bytes."""
    keeps_metadata: bool = True
    """False where events come back without their metadata."""
    keeps_ids: bool = True
    """False where events come back with other ids than the caller's."""
    times_in_utc: bool = True
    """False where a recorded time is the append's only if the client's local time is UTC."""
    whole_streams: bool = True
    """False where a read of a stream without a limit may end before the stream does."""
    reads: Literal["strong", "eventual"] = "strong"
    """`strong`: a read of a stream that begins after an append was acknowledged shows it."""
    starts_where_asked: bool = True
    """False where a subscriber's own checkpoint beats the position that it asks for."""
    categories: bool = True
    """False where subscriptions to a single category are unsupported, or cannot be read."""
    newest_snapshot: bool = True
    """False where an older snapshot replaces a newer one."""
    boundaries: Literal["native", "emulated", "none"] = "none"
    """Whether appends may be conditional on a query over tagged events: `native` where the
    technology has such appends, `emulated` where the design makes them of other means."""
    refuses_disjoint: bool = False
    """True where appends may refuse each other whose boundaries have no event in common."""
    note: str = ""
    """What no other field says, such as a repair without which a design cannot run."""
    durability: Durability
    writers: Literal["many", "one-per-partition", "one"]
    event_limit_bytes: int | None = None
    readable: bool = True
    """False only for `null`, which stores nothing."""
    facts: Facts = field(default_factory=Facts)


class EventStore(Protocol):
    """One open connection or pool to an event store, used by one worker process.

    Errors are those of `harness.domain.errors.StoreError`; nothing else leaves an adapter.
    """

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Write all of `events` to the end of `stream`, or none of them."""
        ...

    def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """Events of one stream with version `start` or higher, oldest first.

        `backwards` gives the same events newest first; `limit` keeps the first `limit`
        of that order. Raises `StreamNotFound` on the first step if there is no such stream.
        """
        ...

    def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Events of all streams in global order after `after` (exclusive); ends at the head."""
        ...

    def subscribe(
        self, *, after: Position | None = None, category: str | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Like `read_all`, but waits at the head for new events and never ends.

        `category` selects the streams whose `category_of` it is; raises `UnsupportedByStore`
        where the store declares no `categories`.
        """
        ...


@dataclass(frozen=True, slots=True)
class RelayListener:
    """A server's listener for a relay, where servers tell clients their own addresses."""

    address: str
    """Where the server listens for the relay."""
    advertised_port: int
    """The local port that it tells clients who come this way: the relay's."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running server, as handed to an adapter.

    `address` is the technology's own (a DSN, a bootstrap list, a URL, a file) without
    secrets; `credentials` never reach results or logs. `namespace` is the schema or the
    prefix that the lab made for one trial: an adapter touches nothing outside it.
    """

    address: str = ""
    namespace: str = "eslab"
    credentials: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    provider: Literal["none", "native", "docker", "external"] = "none"
    version: str = ""
    image: str = ""
    pid: int | None = None
    container: str | None = None
    for_relay: RelayListener | None = None


class StoreOptions(BaseModel):
    """Base of every store's options: strict, frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Adapter(EventStore, Protocol):
    """What a class in `harness.stores` offers: one design variant of one technology."""

    @classmethod
    def declares(cls, options: Any) -> Guarantees:
        """The guarantees of this variant under these options."""
        ...

    @staticmethod
    def durability_of(settings: Mapping[str, str]) -> Durability:
        """The class that `settings` amount to; `UNKNOWN` where they do not say what decides."""
        ...

    @classmethod
    async def connect(cls, endpoint: Endpoint, options: Any) -> Self:
        """Open the connection or pool. Raises `StoreUnavailable` if no server answers."""
        ...

    async def setup(self) -> None:
        """Create what the variant needs inside `endpoint.namespace`. Once a trial."""
        ...

    async def teardown(self) -> None:
        """Remove everything that `setup` created."""
        ...

    async def settings(self) -> Mapping[str, str]:
        """Durability settings and version, read back from the running server."""
        ...

    async def aclose(self) -> None:
        """Close the connection or pool."""
        ...


@runtime_checkable
class Lists(Protocol):
    """A store that can tell what labs have made on its server, so that it can be removed."""

    async def namespaces(self) -> Sequence[str]:
        """The namespaces of all labs, this one's included: names from `marks.PREFIX` on."""
        ...


@runtime_checkable
class Emulated(Protocol):
    """A store whose server may be an emulator that stands in for a service."""

    @staticmethod
    def emulator_of(settings: Mapping[str, str]) -> str:
        """A sentence to show with every number of an emulator; empty unless `settings` name one."""
        ...


@runtime_checkable
class BoundsItsLoss(Protocol):
    """A store whose settings say how much a crash may take, where it may take something."""

    @staticmethod
    def loss_bound_s(settings: Mapping[str, str]) -> float | None:
        """How old an acknowledged append may be at most that a crash takes; `None` if unknown."""
        ...


@runtime_checkable
class Limited(Protocol):
    """A store whose limits are settings of its server."""

    @staticmethod
    def limited(declared: Guarantees, settings: Mapping[str, str]) -> Guarantees:
        """What is declared on a server with these settings; `declared` where they do not say."""
        ...


BareAppend = Callable[[str, NewEvent], Awaitable[object]]
"""Writes one event after the events of a stream that nobody else writes to, and awaits it."""

BareLoop = Callable[[Any, int], AbstractAsyncContextManager[Sequence[BareAppend]]]
"""`loop(store, callers)`: an append for each caller, in the namespace of a store that is set up.

It builds the same request as the store's own append, of one event at the version that it knows, and
awaits it on the same driver with the same settings: without the lab's pool, deadlines, checks and
errors. What an append costs the lab's clients beyond it is the lab's.
"""


@dataclass(frozen=True, slots=True)
class StoreKind:
    """A technology's stores: what a package in `harness/stores/` offers under the name `STORE`."""

    name: str
    summary: str
    variants: Mapping[str, type[Adapter]]
    """By variant name; the default design is under the empty string."""
    options: type[StoreOptions]
    renamed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Names that variants had, and those that they have now."""
    server: str | None = None
    """The server that it needs, by name; `None` for in-process stores."""
    keeps_files: bool = False
    """An in-process store that keeps its data in the folder `Endpoint.address`."""
    extra: str = ""
    """The extra of `eventstore-lab` that brings its driver."""
    drivers: tuple[str, ...] = ()
    """Modules, any one of which is its driver; none for a store that needs no driver."""
    bare_loops: Mapping[str, BareLoop] = field(default_factory=lambda: MappingProxyType({}))
    """By variant: what its driver takes by itself; none for designs whose append is no single call
    of a driver."""

    def missing_driver(self) -> str:
        """Why no adapter of it can connect here, in one line; empty where a driver is installed."""
        if not self.drivers or any(importlib.util.find_spec(name) for name in self.drivers):
            return ""
        names = " or ".join(self.drivers)
        advice = f"pip install 'eventstore-lab[{self.extra}]'"
        return f"{self.name}: the driver {names} is not installed; {advice}"


@runtime_checkable
class Tamper(Protocol):
    """Reaches past the adapter with the technology's own means, for the append-only checks.

    Raises `TamperingPrevented` where anything but the store's own rule is in the way.
    """

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """Try to change a recorded event; returns whether the store allowed it."""
        ...

    async def delete(self, stream: str, version: int) -> bool:
        """Try to delete a recorded event, and to truncate the log where the technology has a
        command for that; returns whether the store allowed either."""
        ...


class OpenTransaction(Protocol):
    """A transaction of the technology, kept open by a check and ended once, either way."""

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """The adapter's own append inside the transaction; invisible to others before `commit`."""
        ...

    async def commit(self) -> None:
        """Commit. Raises a `StoreError` if the transaction cannot be committed."""
        ...

    async def roll_back(self) -> None:
        """Discard everything. Safe to call after `commit`."""
        ...


@runtime_checkable
class OpenTransactions(Protocol):
    """Lets a check keep a transaction open, where the technology's clients can do so."""

    async def open_transaction(self, *, early: bool = False) -> OpenTransaction:
        """A transaction that has begun. `early`: it already has its place in the commit order."""
        ...


@runtime_checkable
class CheckpointStore(Protocol):
    """Saves how far each subscriber has come."""

    async def load_checkpoint(self, subscriber: str) -> Position | None:
        """The subscriber's last saved position, if any."""
        ...

    async def save_checkpoint(self, subscriber: str, position: Position) -> None:
        """Save that everything up to `position` was handled."""
        ...


@runtime_checkable
class SnapshotStore(Protocol):
    """Keeps one snapshot of each stream: the newest, unless the store declares otherwise."""

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """The newest snapshot of a stream, if any."""
        ...

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Save it unless the store has a newer one, which a `newest_snapshot` of False ignores."""
        ...
