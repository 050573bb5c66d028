"""A transaction that a check holds open while others write and read."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from harness.store import AppendResult, ExpectedVersion, NewEvent
from harness.stores.sqlite import writing
from harness.stores.sqlite.thread import ConnectionThread


class HeldTransaction:
    """A connection of its own inside BEGIN, until `commit` or `roll_back`."""

    def __init__(self, thread: ConnectionThread) -> None:
        self._thread = thread

    async def begin(self, *, early: bool) -> None:
        """`early` reads, which fixes what the transaction sees; else it takes the write lock."""
        await self._thread.call(_begin_reading if early else _begin_writing)

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """The adapter's append; other writers wait until this transaction has ended."""
        return await self._thread.call(writing.append_inside, stream, events, expected)

    async def commit(self) -> None:
        """COMMIT, and close the connection."""
        await self._thread.call(_commit)
        await self._thread.aclose()

    async def roll_back(self) -> None:
        """Close the connection, which rolls back what was not committed."""
        await self._thread.aclose()


def _begin_reading(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("SELECT max(position) FROM events").fetchone()


def _begin_writing(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")


def _commit(connection: sqlite3.Connection) -> None:
    connection.execute("COMMIT")
