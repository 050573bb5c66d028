"""Options of every PostgreSQL variant, and the declared facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from harness.domain.durability import BySetting, Durability, by_settings, weakest
from harness.domain.store import Facts, StoreOptions


class PostgresOptions(StoreOptions):
    """Options of every design."""

    payload: Literal["bytea", "jsonb"] = Field(
        "bytea", description="column type of data and metadata; jsonb keeps values, not bytes"
    )
    synchronous_commit: Literal["on", "off"] = Field(
        "on", description="`off` acknowledges before the log is on disk: a crash loses the last"
    )
    notify: bool = Field(
        default=False,
        description="NOTIFY in each append's transaction; subscribers LISTEN as a hint",
    )
    unlogged: bool = Field(
        default=False, description="tables without a write-ahead log: emptied after a crash"
    )
    lock: Literal["tags", "serializable", "one"] = Field(
        "tags",
        description="boundary: conditional appends lock what they may hit, or run SERIALIZABLE and"
        " try again, or all take turns",
    )
    connections: int = Field(
        64, ge=1, le=1000, description="most connections that one worker process opens"
    )
    deadline_s: float = Field(
        30.0, gt=0, le=3600, description="an append without an answer by then is unknown"
    )


_SAFE, _UNSYNCED = Durability.POWER_LOSS, Durability.PROCESS_CRASH
_RULES = (
    BySetting(
        "synchronous_commit",
        # All but `off` wait for the server's own log; they differ in what they ask of standbys.
        dict.fromkeys(("on", "local", "remote_write", "remote_apply"), _SAFE)
        | {"off": Durability.BOUNDED_LOSS},
    ),
    BySetting("fsync", {"on": _SAFE, "off": _UNSYNCED}),
    BySetting("full_page_writes", {"on": _SAFE, "off": _UNSYNCED}),
    # A sync that failed once may succeed the second time without what the kernel has dropped.
    BySetting("data_sync_retry", {"off": _SAFE, "on": _UNSYNCED}, missing="off"),
    BySetting(
        "events_table",
        {"logged": _SAFE, "unlogged": Durability.MEMORY, "temporary": Durability.MEMORY},
        missing="logged",
    ),
)
_BEYOND_THE_DRIVES_CACHE = {
    "darwin": ("fsync_writethrough",),
    "mingw": ("fsync", "fdatasync", "fsync_writethrough"),
    "visual c++": ("fsync", "fdatasync", "fsync_writethrough"),
}
"""By system, the `wal_sync_method`s that don't leave commits in a drive's cache; elsewhere all."""


def requested_settings(options: PostgresOptions) -> dict[str, str]:
    """What decides durability, as a server of the lab's is started for these options."""
    return {
        "synchronous_commit": options.synchronous_commit,
        "fsync": "on",
        "full_page_writes": "on",
        "events_table": "unlogged" if options.unlogged else "logged",
    }


def durability_of(settings: Mapping[str, str]) -> Durability:
    """The weakest of the classes that each setting allows."""
    return weakest(by_settings(_RULES, settings), _of_sync_method(settings))


_FLUSHES_WITHIN = 3
"""Times `wal_writer_delay`: the writer of the log prefers whole pages while it is busy (manual,
section 28.4, Asynchronous Commit)."""


def loss_bound_s(settings: Mapping[str, str]) -> float | None:
    """How much an asynchronous commit may lose."""
    delay_ms = settings.get("wal_writer_delay", "")
    return _FLUSHES_WITHIN * int(delay_ms) / 1000 if delay_ms.isdecimal() else None


def _of_sync_method(settings: Mapping[str, str]) -> Durability:
    system = settings.get("system", "").lower()
    for name, methods in _BEYOND_THE_DRIVES_CACHE.items():
        if name in system:
            return _SAFE if settings.get("wal_sync_method") in methods else _UNSYNCED
    return _SAFE


FACTS = Facts(
    multi_stream_appends="yes, in one transaction (not offered by this adapter)",
    transactional_projections="yes, in tables of the same database",
    erasure="drop or detach partitions, or delete with the triggers off, then VACUUM",
    backup="pg_basebackup with WAL archiving; pg_dump renumbers transactions, so that checkpoints"
    " of the transaction order do not survive it",
    licence="PostgreSQL Licence (permissive)",
    source="https://www.postgresql.org/docs/current/backup.html",
)
