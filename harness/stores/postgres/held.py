"""A transaction that a check holds open while others write and read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from harness.store import AppendResult, ExpectedVersion, NewEvent
from harness.stores.postgres.driver import append_error, errors
from harness.stores.postgres.session import Session

if TYPE_CHECKING:
    from harness.stores.postgres.pool import Link

AppendOn = Callable[
    ["Link", str, Sequence[NewEvent], ExpectedVersion],
    Awaitable[AppendResult],
]
"""A variant's append inside a transaction that somebody else has begun."""


class HeldTransaction:
    """A connection inside BEGIN, until `commit` or `roll_back`."""

    def __init__(self, session: Session, link: Link, append_on: AppendOn) -> None:
        self._session, self._link, self._append_on = session, link, append_on
        self._ended = False

    @classmethod
    async def begun(cls, session: Session, append_on: AppendOn, *, early: bool) -> HeldTransaction:
        """A new one; `early` gives it a transaction id at once, as its first write would."""
        held = cls(session, await session.pool.take(), append_on)
        await held._execute("BEGIN")
        if early:
            await held._execute("SELECT pg_current_xact_id()")
        return held

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """The variant's append, whose locks last until the end of this transaction."""
        try:
            return await self._append_on(self._link, stream, events, expected)
        except errors() as error:
            raise append_error(error) from error

    async def commit(self) -> None:
        """COMMIT, and give the connection back."""
        await self._execute("COMMIT")
        self._give_back()

    async def roll_back(self) -> None:
        """ROLLBACK, unless it has ended."""
        if self._ended:
            return
        with suppress(*errors()):
            await self._link.connection.execute("ROLLBACK")
        self._give_back()

    def _give_back(self) -> None:
        self._ended = True
        self._session.pool.give_back(self._link)

    async def _execute(self, statement: str) -> None:
        limit_s = self._session.options.deadline_s
        try:
            await self._link.connection.execute(statement, timeout=limit_s)
        except errors() as error:
            self._ended = True
            self._session.pool.drop(self._link)
            raise append_error(error) from error
