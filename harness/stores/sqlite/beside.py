"""SQLite beside the log: schema, settings, checkpoints, snapshots, and tampering."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from harness import costs
from harness.store import Position, Snapshot
from harness.stores.sqlite.reading import QUERY, SCHEMA

_SYNCHRONOUS = {0: "off", 1: "normal", 2: "full", 3: "extra"}


def make_schema(connection: sqlite3.Connection) -> None:
    """Tables and triggers, unless they are there. WAL is a property of the file."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(SCHEMA)


def settings(connection: sqlite3.Connection) -> dict[str, str]:
    """SQLite's version, and what this connection says of its durability."""

    def pragma(name: str) -> int | str:
        value: int | str
        (value,) = connection.execute(f"PRAGMA {name}").fetchone()
        return value

    names = ("journal_mode", "fullfsync", "wal_autocheckpoint", "page_size", "busy_timeout")
    return {
        "version": sqlite3.sqlite_version,
        "synchronous": _SYNCHRONOUS[int(pragma("synchronous"))],
        **{name: str(pragma(name)) for name in names},
    }


def settle(connection: sqlite3.Connection) -> None:
    """Move everything from the write-ahead log into the file, and cut the log to nothing."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def compact(connection: sqlite3.Connection) -> None:
    """Write the file anew, without what it no longer needs."""
    connection.execute("VACUUM")
    settle(connection)


def file_bytes(path: Path) -> dict[str, float]:
    """What the file holds, and what it and its write-ahead log take together.

    The log is used again from its beginning, so its length says nothing of what was written.
    """
    data = path.stat().st_size
    log = Path(f"{path}-wal")
    log_bytes = log.stat().st_size if log.exists() else 0
    return {costs.DATA_BYTES: data, costs.DISK_BYTES: data + log_bytes}


def load_checkpoint(connection: sqlite3.Connection, subscriber: str) -> Position | None:
    """The subscriber's last saved position, if any."""
    row = connection.execute(QUERY["load_checkpoint"], (subscriber,)).fetchone()
    return Position.parse(row[0]) if row else None


def save_checkpoint(connection: sqlite3.Connection, subscriber: str, position: Position) -> None:
    """Remember a position, in a transaction of its own."""
    connection.execute(QUERY["save_checkpoint"], (subscriber, str(position)))


def load_snapshot(connection: sqlite3.Connection, stream: str) -> Snapshot | None:
    """The newest snapshot of a stream, if any."""
    row = connection.execute(QUERY["load_snapshot"], (stream,)).fetchone()
    return Snapshot(*row) if row else None


def save_snapshot(connection: sqlite3.Connection, snapshot: Snapshot) -> None:
    """Keep a snapshot unless a newer one is there, in a transaction of its own."""
    row = (snapshot.stream, snapshot.version, snapshot.data)
    connection.execute(QUERY["save_snapshot"], row)


def tamper(path: Path, query: str, *values: object) -> bool:
    """Run a statement on a plain connection of its own; whether SQLite let it change a row."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        try:
            return connection.execute(QUERY[query], values).rowcount > 0
        except sqlite3.IntegrityError:
            return False
