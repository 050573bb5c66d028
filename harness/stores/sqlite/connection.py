"""One SQLite connection on a thread of its own, and the mapping of its errors."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from harness.domain.errors import (
    AppendRefused,
    EventTooLarge,
    NotWritten,
    OutOfResources,
    StoreUnavailable,
    Unsuitable,
    require_as_asked,
)
from harness.stores._shared.driver_errors import Mapped, Meanings, bug

P = ParamSpec("P")
T = TypeVar("T")

_NO_RESOURCES = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_NOMEM")
_NOBODY_ANSWERS = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_NOTADB")


class ConnectionThread:
    """Runs functions of a connection one after another, off the event loop.

    The connection is opened at the first call, so that a namespace may be connected to
    before it is set up. `errors` maps what SQLite raises.
    """

    def __init__(
        self,
        open_connection: Callable[[], sqlite3.Connection],
        errors: Mapped,
        *,
        name: str,
    ) -> None:
        self._open_connection = open_connection
        self._errors = errors
        self._connection: sqlite3.Connection | None = None
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def call(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """`work(connection, …)` on the thread; a cancelled call that has begun runs to its end."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: self._work(work, *args, **kwargs))

    async def release(self) -> None:
        """Close the connection; the next call opens another."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._close)

    async def aclose(self) -> None:
        """Close the connection and end the thread. Safe to call twice."""
        try:
            await self.release()
        except RuntimeError:  # the executor was shut down before
            return
        self._executor.shutdown()

    def _work(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        with self._errors:
            if self._connection is None:
                self._connection = self._open_connection()
            return work(self._connection, *args, **kwargs)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def open_file(path: Path, *, synchronous: str, busy_timeout_s: float) -> sqlite3.Connection:
    """A connection to an existing database; `sqlite3.OperationalError` where there is none."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=busy_timeout_s)
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    # macOS's plain fsync leaves data in the drive's cache; elsewhere this changes nothing.
    connection.execute("PRAGMA fullfsync = ON")
    asked = {"synchronous": synchronous, "fullfsync": "1"}
    try:
        require_as_asked("SQLite", asked, {name: pragma(connection, name) for name in asked})
    except Unsuitable:
        connection.close()
        raise
    return connection


_SYNCHRONOUS = ("off", "normal", "full", "extra")


def pragma(connection: sqlite3.Connection, name: str) -> str:
    """A setting as the connection has it; `synchronous` by its name."""
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return _SYNCHRONOUS[value] if name == "synchronous" else str(value)


def _not_written(error: sqlite3.Error) -> NotWritten:
    """The meaning of an error before COMMIT: the transaction was rolled back."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if name == "SQLITE_TOOBIG":
        return EventTooLarge(str(error), reason=name)
    if name.startswith(_NOBODY_ANSWERS):
        return StoreUnavailable(f"SQLite: {error}")
    if name.startswith(_NO_RESOURCES):
        return OutOfResources(f"SQLite: {error}", reason=name)
    return AppendRefused(f"SQLite: {error}", reason=name)


_MEANINGS = Meanings("SQLite", str)
APPENDING = Mapped(lambda: {sqlite3.ProgrammingError: bug, sqlite3.Error: _not_written})
READING = Mapped(
    lambda: {
        sqlite3.ProgrammingError: bug,
        sqlite3.Error: _MEANINGS.failed,
        UnicodeEncodeError: _MEANINGS.failed,  # what cannot be text of a database
    }
)
