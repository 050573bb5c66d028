"""The variants that differ by one statement or one script."""

from __future__ import annotations

from harness.stores.postgres.order import ByTransaction
from harness.stores.postgres.store import PostgresStore

LOCK_LOG = "PERFORM pg_advisory_xact_lock('events'::regclass::oid::bigint)"


class StreamLock(PostgresStore):
    """An advisory lock on the stream; the log is read in the order of transactions."""

    order = ByTransaction()
    # Advisory locks are the database's: the table's own number keeps schemas apart.
    lock = (
        "PERFORM pg_advisory_xact_lock(hashtextextended(p_stream, 'events'::regclass::oid::bigint))"
    )


class StreamRow(PostgresStore):
    """A compare-and-set of the stream's row; positions may commit out of their order."""

    scripts = ("postgres_events", "postgres_write_row", "postgres_append")
    gap_free_read = False


class GlobalLock(PostgresStore):
    """One advisory lock for all appends, so that positions commit in their order."""

    lock = LOCK_LOG


class TableLock(PostgresStore):
    """LOCK TABLE in each append, so that positions commit in their order."""

    lock = "LOCK TABLE events IN EXCLUSIVE MODE"


class Counter(PostgresStore):
    """One row that every append updates, so that positions are dense."""

    scripts = ("postgres_events", "postgres_write_counter", "postgres_append")
