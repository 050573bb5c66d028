"""Transactions that a check keeps open, and statements that bypass the adapter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from harness.domain.errors import StoreError, TamperingPrevented
from harness.domain.store import AppendResult, ExpectedVersion, NewEvent
from harness.stores.postgres.driver import APPENDING, asyncpg, errors
from harness.stores.postgres.pool import Session

if TYPE_CHECKING:
    from asyncpg import Connection

AppendOn = Callable[
    ["Connection", str, Sequence[NewEvent], ExpectedVersion],
    Awaitable[AppendResult],
]
"""A variant's append inside a transaction that is already open."""
REFUSAL = "events are append-only: "
"""How the triggers of the schema begin."""


class PostgresTransaction:
    """A connection inside BEGIN, until `commit` or `roll_back`."""

    def __init__(self, session: Session, connection: Connection, append_on: AppendOn) -> None:
        self._session, self._connection, self._append_on = session, connection, append_on
        self._ended = False

    @classmethod
    async def begun(
        cls, session: Session, append_on: AppendOn, *, early: bool
    ) -> PostgresTransaction:
        """`early` gives it a transaction id at once, as its first write would."""
        transaction = cls(session, await session.pool.take(), append_on)
        await transaction._execute("BEGIN")
        if early:
            await transaction._execute("SELECT pg_current_xact_id()")
        return transaction

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """The variant's append, whose locks last until the end of this transaction."""
        with APPENDING:
            return await self._append_on(self._connection, stream, events, expected)

    async def commit(self) -> None:
        """COMMIT, and give the connection back."""
        await self._execute("COMMIT")
        self._give_back()

    async def roll_back(self) -> None:
        """ROLLBACK, unless it has ended."""
        if self._ended:
            return
        with suppress(*errors()):
            await self._connection.execute("ROLLBACK")
        self._give_back()

    def _give_back(self) -> None:
        self._ended = True
        self._session.pool.give_back(self._connection)

    async def _execute(self, statement: str) -> None:
        limit_s = self._session.options.deadline_s
        try:
            with APPENDING:
                await self._connection.execute(statement, timeout=limit_s)
        except StoreError:
            self._ended = True
            self._session.pool.drop(self._connection)
            raise


async def changed(session: Session, query: str, *arguments: Any) -> bool:
    """Whether the database let a statement change a row.

    Raises `TamperingPrevented` unless it changed one, or a trigger of the schema refused it.
    """
    try:
        rows = await session.pool.fetch(f"{query} RETURNING 1", *arguments)
    except asyncpg.PostgresError as error:
        _require_refusal(error)
        return False
    if not rows:
        raise TamperingPrevented("the statement found no such event")
    return True


def _require_refusal(error: asyncpg.PostgresError) -> None:
    """Raises `TamperingPrevented` unless the error is a trigger's of the schema."""
    by_trigger = isinstance(error, asyncpg.RestrictViolationError)
    if not (by_trigger and str(error).startswith(REFUSAL)):
        raise TamperingPrevented(f"{type(error).__name__}: {error}") from error


async def emptied(session: Session) -> bool:
    """Whether the database lets the table be truncated; that is rolled back either way.

    Raises `TamperingPrevented` unless it does, or a trigger of the schema refused it.
    """
    limit_s = session.options.deadline_s
    async with session.pool.connection() as connection:
        await connection.execute("BEGIN", timeout=limit_s)
        try:
            await connection.execute("TRUNCATE events", timeout=limit_s)
        except asyncpg.PostgresError as error:
            _require_refusal(error)
            return False
        finally:
            await connection.execute("ROLLBACK", timeout=limit_s)
    return True
