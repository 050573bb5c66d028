"""Declared facts about DynamoDB, and the sentence that stands beside every number of Local."""

from __future__ import annotations

from harness.store import Facts

EMULATOR = "DynamoDB Local is an emulator: its speed is not the service's"

FACTS = Facts(
    multi_stream_appends="yes, within one transaction's 100 items (not offered by this adapter)",
    transactional_projections="within one transaction's 100 items; else through DynamoDB Streams",
    erasure="delete the items, or let them expire (TTL)",
    backup="point-in-time recovery and on-demand backups of the service; none of the emulator",
    licence="a service; DynamoDB Local under Amazon's own licence",
    source="AWS documentation: DynamoDB developer guide",
)
