"""Declared facts about PostgreSQL, for the decision page."""

from __future__ import annotations

from harness.store import Facts

FACTS = Facts(
    multi_stream_appends="yes, in one transaction (not offered by this adapter)",
    transactional_projections="yes, in tables of the same database",
    erasure="drop or detach partitions, or delete with the triggers off, then VACUUM",
    backup="pg_basebackup with WAL archiving; pg_dump renumbers transactions, so that checkpoints"
    " of the transaction order do not survive it",
    licence="PostgreSQL Licence (permissive)",
    source="https://www.postgresql.org/docs/current/backup.html",
)
