"""The null store: acknowledges and forgets, so that a trial measures the generator itself."""

# ruff: noqa: ARG002, ARG003, ARG004 - a store that ignores all that it is given

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Self

from harness.domain.durability import Durability
from harness.domain.errors import UnsupportedByStore
from harness.domain.store import (
    AppendResult,
    Endpoint,
    ExpectedVersion,
    Guarantees,
    NewEvent,
    Position,
    RecordedEvent,
    StoreKind,
    StoreOptions,
)
from harness.stores._shared.waiting import give_way

ACKNOWLEDGED = AppendResult(version=0, position=None)

GUARANTEES = Guarantees(
    occ="none",
    occ_note="every append is acknowledged, whatever it expects",
    atomic_append=False,
    global_order="none",
    gap_free_read=False,
    idempotency="none",
    stream_read="scan",
    subscription="none",
    append_only="none",
    durability=Durability.MEMORY,
    writers="many",
    readable=False,
)


class NullOptions(StoreOptions):
    """The null store has no options."""


class NullStore:
    """Yields to the event loop once an append and keeps nothing.

    The generator's ceiling: all the work of a trial except a store.
    """

    @classmethod
    def declares(cls, options: NullOptions) -> Guarantees:
        """It guarantees nothing."""
        return GUARANTEES

    @staticmethod
    def durability_of(settings: Mapping[str, str]) -> Durability:
        return Durability.MEMORY

    @classmethod
    async def connect(cls, endpoint: Endpoint, options: NullOptions) -> Self:
        """Open the store; always succeeds."""
        return cls()

    async def setup(self) -> None:
        """Do nothing."""

    async def teardown(self) -> None:
        """Do nothing."""

    async def settings(self) -> Mapping[str, str]:
        """Empty: there is no server."""
        return {}

    async def aclose(self) -> None:
        """Do nothing."""

    async def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        expected: ExpectedVersion,
    ) -> AppendResult:
        """Acknowledge. The result is the same for every append."""
        await give_way()
        return ACKNOWLEDGED

    def read_stream(
        self,
        stream: str,
        *,
        start: int = 0,
        limit: int | None = None,
        backwards: bool = False,
    ) -> AsyncIterator[RecordedEvent]:
        """Raises `UnsupportedByStore`."""
        raise _keeps_nothing()

    def read_all(
        self,
        *,
        after: Position | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[RecordedEvent]:
        """Raises `UnsupportedByStore`."""
        raise _keeps_nothing()

    def subscribe(
        self,
        *,
        after: Position | None = None,
        category: str | None = None,
    ) -> AsyncIterator[RecordedEvent]:
        """Raises `UnsupportedByStore`."""
        raise _keeps_nothing()


def _keeps_nothing() -> UnsupportedByStore:
    return UnsupportedByStore("the null store keeps nothing to read back")


STORE = StoreKind(
    name="null",
    summary="acknowledges and forgets: the ceiling of the load generator itself",
    variants={"": NullStore},
    options=NullOptions,
)
