"""Transactions that a check holds open, with a line of evidence for each step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import OutOfReach, Step, describe_answer
from harness.domain.errors import StoreError
from harness.domain.store import (
    AppendResult,
    NewEvent,
    OpenTransaction,
    OpenTransactions,
    StreamState,
)

T = TypeVar("T")


class HeldTransaction:
    """An open transaction that leaves a line of evidence for each step."""

    def __init__(self, context: CheckContext, transaction: OpenTransaction) -> None:
        self._context, self._transaction = context, transaction

    async def append(self, stream: str, events: Sequence[NewEvent], *, by: str) -> AppendResult:
        """Append under ANY, inside the transaction."""
        did, at_ms = f"append to {stream!r} in an open transaction", self._context.at_ms()
        try:
            result = await self._transaction.append(stream, events, expected=StreamState.ANY)
        except StoreError as error:
            self._context.steps.append(Step(by, did, describe_answer(error), at_ms))
            raise
        self._context.steps.append(Step(by, did, describe_answer(result), at_ms))
        return result

    async def commit(self, *, by: str) -> None:
        self._context.steps.append(Step(by, "commit", at_ms=self._context.at_ms()))
        await self._transaction.commit()

    async def roll_back(self, *, by: str) -> None:
        self._context.steps.append(Step(by, "roll back", at_ms=self._context.at_ms()))
        await self._transaction.roll_back()


@asynccontextmanager
async def open_transaction(
    context: CheckContext, *, early: bool = False
) -> AsyncIterator[HeldTransaction]:
    """A transaction for the block, rolled back after it unless it ended inside.

    Raises `OutOfReach` if clients of the technology cannot hold transactions open.
    """
    store: object = await context.connect() if context.holds_transactions else None
    if not isinstance(store, OpenTransactions):
        raise OutOfReach("clients of this store hold no transactions open")
    transaction = await store.open_transaction(early=early)
    try:
        yield HeldTransaction(context, transaction)
    finally:
        await transaction.roll_back()


def meanwhile(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start it as a task: it may have to wait for the open transaction to end."""
    return asyncio.create_task(work)
