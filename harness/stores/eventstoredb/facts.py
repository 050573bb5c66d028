"""Declared facts about EventStoreDB, for the decision page; nothing of it was measured here."""

from __future__ import annotations

from harness.store import Facts

EVENT_LIMIT_BYTES = 1024 * 1024
"""`MaxAppendSize` as the server comes; over all events of one append."""

FACTS = Facts(
    multi_stream_appends="no (KurrentDB 25.1 and later: yes, by another call)",
    transactional_projections="no; the server's own projections emit events and links",
    erasure="delete the stream, then scavenge; a single event by crypto-shredding",
    backup="copying its files in order, or a disk snapshot; a follower node",
    licence="Event Store License v2 from 24.10 on; BSD-3-Clause before",
    source="EventStoreDB documentation 24.10",
)
