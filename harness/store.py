"""The field's words as types: what every store adapter takes, returns and declares."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable
from uuid import UUID

from pydantic import BaseModel, ConfigDict


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
    for checkpoints. `Position.NOW` asks a subscription for new events only.
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


@dataclass(frozen=True, slots=True)
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


UNTOLD = -1
"""The version in an `AppendResult` of a store that numbers events only when they are read."""


@dataclass(frozen=True, slots=True)
class AppendResult:
    """Where the last event of an append was written; `position` only where the store tells.

    `version` is `UNTOLD` where the store declares that it does not tell.
    """

    version: int
    position: Position | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folded state of a stream as of `version`."""

    stream: str
    version: int
    data: bytes


class Durability(StrEnum):
    """What an acknowledged append survives, as configured; rankings stay inside one class."""

    MEMORY = "memory"
    BOUNDED_LOSS = "bounded loss at a crash"
    PROCESS_CRASH = "process-crash safe"
    POWER_LOSS = "power-loss safe as configured"


@dataclass(frozen=True, slots=True)
class Facts:
    """Plain declared facts for the decision page, with their source; not measured by the lab."""

    multi_stream_appends: str = "not stated"
    transactional_projections: str = "not stated"
    erasure: str = "not stated"
    backup: str = "not stated"
    licence: str = "not stated"
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantees:
    """What a store variant declares. The lab measures whether it is so."""

    occ: Literal["native", "emulated", "none"]
    occ_note: str = ""
    tells_version: bool = True
    """False where an append's version is `UNTOLD`: events get versions only when they are read."""
    atomic_append: bool
    batch_limit: int | None = None
    global_order: Literal["total", "per-partition", "none"]
    gap_free_read: bool
    """A reader tailing the global order never skips an event that commits late."""
    idempotency: Literal["durable", "window", "none"]
    stream_read: Literal["indexed", "scan"]
    subscription: Literal["push", "poll", "none"]
    append_only: Literal["enforced", "by-convention", "none"]
    """`none`: an acknowledged event may be overwritten or lost without anyone tampering."""
    payload: Literal["exact", "json"] = "exact"
    """`json`: the same JSON value comes back, not the same bytes."""
    keeps_metadata: bool = True
    """False where an event comes back without what was said about it."""
    durability: Durability
    writers: Literal["many", "one-per-partition", "one"]
    event_limit_bytes: int | None = None
    readable: bool = True
    """False only for `null`, which keeps nothing to read back."""
    emulator: str = ""
    """A sentence shown beside every number of a store that stands in for a service."""
    facts: Facts = field(default_factory=Facts)


class EventStore(Protocol):
    """One open connection or pool to an event store, used by one worker process.

    Errors are those of `harness.errors.StoreError`; nothing else leaves an adapter.
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

        `backwards` gives the same events newest first; `limit` keeps the first so many
        of that order. Raises `StreamNotFound` on the first step if there is no such stream.
        """
        ...

    def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Events of all streams in global order, behind `after` (exclusive); ends at the head."""
        ...

    def subscribe(
        self, *, after: Position | None = None, category: str | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """Like `read_all`, but waits at the head for new events and never ends.

        `category` is what stands before the first `-` of a stream's name.
        """
        ...


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


class StoreOptions(BaseModel):
    """Base of every store's options: strict, frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Adapter(EventStore, Protocol):
    """What a class in `harness.stores` offers: one design variant of one technology."""

    @classmethod
    def declares(cls, options: Any) -> Guarantees:
        """The guarantees of this variant under these options."""
        ...

    @classmethod
    async def connect(cls, endpoint: Endpoint, options: Any) -> Self:
        """Open the connection or pool. Raises `StoreUnavailable` if nobody answers."""
        ...

    async def setup(self) -> None:
        """Make what the variant needs inside `endpoint.namespace`. Once a trial."""
        ...

    async def teardown(self) -> None:
        """Remove everything that `setup` made."""
        ...

    async def settings(self) -> Mapping[str, str]:
        """Durability settings and version, read back from the running server."""
        ...

    async def aclose(self) -> None:
        """Close the connection or pool."""
        ...


@dataclass(frozen=True, slots=True)
class StoreKind:
    """What a file in `harness/stores/` offers under the name `STORE`."""

    name: str
    summary: str
    variants: Mapping[str, type[Adapter]]
    """By variant name; the default design is under the empty string."""
    options: type[StoreOptions]
    server: str | None = None
    """The row of the server table that it needs; `None` for in-process stores."""
    extra: str = ""
    """The extra of `eventstore-lab` that brings its driver."""


@runtime_checkable
class Tamper(Protocol):
    """Reaches past the adapter with the technology's own means, for the append-only checks."""

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """Try to change a recorded event; whether the store let it happen."""
        ...

    async def delete(self, stream: str, version: int) -> bool:
        """Try to delete a recorded event, and to empty the log where the technology has a word
        for that; whether the store let either happen."""
        ...


class OpenTransaction(Protocol):
    """A transaction of the technology's own, held open by a check; ended once, either way."""

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """The adapter's own append, inside it: nobody sees it before `commit`."""
        ...

    async def commit(self) -> None:
        """End it, and keep what was appended. Raises a `StoreError` if it cannot be kept."""
        ...

    async def roll_back(self) -> None:
        """End it, and keep nothing. Safe to call after `commit`."""
        ...


@runtime_checkable
class OpenTransactions(Protocol):
    """Lets a check hold a transaction open; offered where clients of the technology can."""

    async def open_transaction(self, *, early: bool = False) -> OpenTransaction:
        """A transaction that has begun. `early`: it already has its number among the others."""
        ...


@runtime_checkable
class CheckpointStore(Protocol):
    """Remembers how far a subscriber has come."""

    async def load_checkpoint(self, subscriber: str) -> Position | None:
        """The subscriber's last saved position, if any."""
        ...

    async def save_checkpoint(self, subscriber: str, position: Position) -> None:
        """Remember that everything up to `position` was handled."""
        ...


@runtime_checkable
class SnapshotStore(Protocol):
    """Keeps the newest snapshot of a stream; an older one never replaces a newer one."""

    async def load_snapshot(self, stream: str) -> Snapshot | None:
        """The newest snapshot of a stream, if any."""
        ...

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep it unless a newer one is there."""
        ...
