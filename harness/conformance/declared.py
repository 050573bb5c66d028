"""The declarations that checks belong to: fields of `Guarantees`, and when they promise."""

from __future__ import annotations

from harness.conformance.check import Declaration
from harness.store import Durability

ALWAYS = Declaration("every store", lambda g: g.readable)
"""That keeps anything to read back: the null store only answers."""
ATOMIC = Declaration("atomic_append", lambda g: g.atomic_append)
ENFORCED = Declaration("append_only", lambda g: g.append_only == "enforced")
KEEPS = Declaration("append_only", lambda g: g.append_only != "none")
"""Nothing is lost or overwritten unless somebody tampers."""
EXACT = Declaration("payload", lambda g: g.readable and g.payload == "exact")
METADATA = Declaration("keeps_metadata", lambda g: g.readable and g.keeps_metadata)
GAP_FREE = Declaration("gap_free_read", lambda g: g.gap_free_read)
IN_ORDER = Declaration("global_order", lambda g: g.global_order != "none")
"""Total or by partition: a stream's events stand in their order in the log either way."""
OCC = Declaration("occ", lambda g: g.occ != "none")
DURABLE_IDS = Declaration("idempotency", lambda g: g.idempotency == "durable")
RECENT_IDS = Declaration("idempotency", lambda g: g.idempotency != "none")
"""For good, or within a window."""
SUBSCRIBES = Declaration("subscription", lambda g: g.subscription != "none")
FOLLOWS = Declaration(
    "subscription, gap_free_read", lambda g: g.subscription != "none" and g.gap_free_read
)
GOES_ON = Declaration(
    "subscription, durability",
    lambda g: g.subscription != "none" and g.durability != Durability.MEMORY,
)
"""A server that keeps everything in memory has nothing to go on with after a restart."""
CHECKPOINTS = Declaration("CheckpointStore", lambda g: g.subscription != "none", optional=True)
SNAPSHOTS = Declaration("SnapshotStore", lambda _: True, optional=True)
