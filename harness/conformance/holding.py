"""Transactions that a check holds open, with a line of evidence for each step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from harness.conformance.bench import Bench, told
from harness.conformance.check import OutOfReach, Step
from harness.errors import StoreError
from harness.store import (
    AppendResult,
    NewEvent,
    OpenTransaction,
    OpenTransactions,
    StreamState,
)

T = TypeVar("T")


class Held:
    """One open transaction."""

    def __init__(self, bench: Bench, transaction: OpenTransaction) -> None:
        self._bench, self._transaction = bench, transaction

    async def append(self, stream: str, events: Sequence[NewEvent], *, by: str) -> AppendResult:
        """Under ANY, inside the transaction."""
        did, at_ms = f"append to {stream!r} in an open transaction", self._bench.at_ms()
        try:
            result = await self._transaction.append(stream, events, expected=StreamState.ANY)
        except StoreError as error:
            self._bench.steps.append(Step(by, did, told(error), at_ms))
            raise
        self._bench.steps.append(Step(by, did, told(result), at_ms))
        return result

    async def commit(self, *, by: str) -> None:
        """Keep what was appended."""
        self._bench.steps.append(Step(by, "commit", at_ms=self._bench.at_ms()))
        await self._transaction.commit()

    async def roll_back(self, *, by: str) -> None:
        """Keep nothing."""
        self._bench.steps.append(Step(by, "roll back", at_ms=self._bench.at_ms()))
        await self._transaction.roll_back()


@asynccontextmanager
async def held(bench: Bench, *, early: bool = False) -> AsyncIterator[Held]:
    """A transaction for the block, rolled back behind it unless it was ended inside.

    Raises `OutOfReach` where clients of the technology hold no transactions open.
    """
    store: object = await bench.another() if bench.holds_transactions else None
    if not isinstance(store, OpenTransactions):
        raise OutOfReach("clients of this store hold no transactions open")
    transaction = await store.open_transaction(early=early)
    try:
        yield Held(bench, transaction)
    finally:
        await transaction.roll_back()


def while_open(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Begin it beside the open transaction, whose end it may have to wait for."""
    return asyncio.create_task(work)
