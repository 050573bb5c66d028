"""Declared facts about Kafka, for the decision page."""

from __future__ import annotations

from harness.store import Facts

FACTS = Facts(
    multi_stream_appends="yes, in one transaction over several partitions (not offered here)",
    transactional_projections="within Kafka only: offsets and output topics in one transaction",
    erasure="by retention or compaction of whole topics; a single event by crypto-shredding",
    backup="replication, or mirroring to another cluster; no snapshot of a topic",
    licence="Apache License 2.0",
    source="https://kafka.apache.org/documentation/#semantics",
)
