"""The database file: schema, settings, checkpoint of the log, VACUUM, sizes, tampering."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from harness.domain import costs
from harness.domain.errors import TamperingPrevented, require_as_asked
from harness.stores.sqlite.connection import pragma
from harness.stores.sqlite.reading import QUERY, SQL

REFUSAL = "events are append-only"
"""What the triggers of the schema say."""


def make_schema(connection: sqlite3.Connection, scripts: Sequence[str]) -> None:
    """Tables and triggers, unless they are there. WAL is a property of the file.

    Raises `Unsuitable` where the file's system cannot have a write-ahead log.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    require_as_asked(
        "SQLite", {"journal_mode": "wal"}, {"journal_mode": pragma(connection, "journal_mode")}
    )
    for name in scripts:
        connection.executescript(SQL.text(name))


def settings(connection: sqlite3.Connection) -> dict[str, str]:
    """SQLite's version, and this connection's durability settings."""
    names = (
        "synchronous",
        "journal_mode",
        "fullfsync",
        "wal_autocheckpoint",
        "page_size",
        "busy_timeout",
    )
    return {
        "version": sqlite3.sqlite_version,
        **{name: pragma(connection, name) for name in names},
    }


def settle(connection: sqlite3.Connection) -> None:
    """Move everything from the write-ahead log into the file, and truncate the log."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def compact(connection: sqlite3.Connection) -> None:
    """VACUUM: rewrite the file without its free pages."""
    connection.execute("VACUUM")
    settle(connection)


def file_bytes(path: Path) -> dict[str, float]:
    """Bytes of the file, and of the file with its write-ahead log.

    The log is reused from its beginning, so its length is not the number of bytes written.
    """
    data = path.stat().st_size
    log = Path(f"{path}-wal")
    log_bytes = log.stat().st_size if log.exists() else 0
    return {costs.DATA_BYTES: data, costs.DISK_BYTES: data + log_bytes}


def tamper(path: Path, query: str, *values: object) -> bool:
    """Run a statement on a plain connection of its own; whether SQLite let it change a row.

    Raises `TamperingPrevented` unless it changed one, or a trigger of the schema refused it.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        try:
            rows = connection.execute(QUERY[query], values).rowcount
        except sqlite3.Error as error:
            if str(error) == REFUSAL:
                return False
            raise TamperingPrevented(f"{type(error).__name__}: {error}") from error
    if not rows:
        raise TamperingPrevented("the statement found no such event")
    return True
