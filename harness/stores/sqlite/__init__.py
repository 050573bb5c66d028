"""SQLite from the standard library: the event store that every machine has."""

from __future__ import annotations

from harness.domain.store import StoreKind
from harness.stores.sqlite.bare import inserted
from harness.stores.sqlite.boundary import BoundarySqlite
from harness.stores.sqlite.store import SqliteOptions, SqliteStore

__all__ = ["STORE", "SqliteOptions", "SqliteStore"]

STORE = StoreKind(
    name="sqlite",
    summary="SQLite in WAL mode with synchronous=FULL: one file, no server",
    variants={"": SqliteStore, "boundary": BoundarySqlite},
    options=SqliteOptions,
    keeps_files=True,
    bare_loops={"": inserted},
)
