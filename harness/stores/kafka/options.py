"""Options of every Kafka variant, what they mean on disk, and declared facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from harness.domain.durability import Durability, weakest
from harness.domain.store import Facts, StoreOptions


class KafkaOptions(StoreOptions):
    """What may be chosen beside the design."""

    partitions: int | None = Field(
        None, ge=1, le=64, description="of the topic; 4, and 1 for single-writer: a total order"
    )
    flush: Literal["page-cache", "each"] = Field(
        "page-cache",
        description="`each` syncs every write to the topic (flush.messages=1); the broker's state"
        " of transactions, on which single-writer depends, stays in the page cache",
    )
    backoff: Literal["stock", "patched"] = Field(
        "stock",
        description="single-writer: the client's constant 20 ms between transactions, or 1 ms",
    )
    deadline_s: float = Field(
        30.0, gt=0, le=3600, description="an append without an answer by then is unknown"
    )


TOPIC: Mapping[str, str] = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",
}


_NEVER = str(2**63 - 1)
"""The broker's default of `flush.messages`: the system writes the page cache when it likes."""


def topic_settings(options: KafkaOptions) -> dict[str, str]:
    """How the topic is made."""
    return {**TOPIC, **({"flush.messages": "1"} if options.flush == "each" else {})}


def requested_settings(options: KafkaOptions) -> dict[str, str]:
    """What decides durability, as a topic of the lab's has it."""
    return {"flush.messages": _NEVER, **topic_settings(options)}


def durability_of(settings: Mapping[str, str]) -> Durability:
    """Acknowledged from the page cache of one broker, unless every message is synced.

    Nothing else of the topic can weaken it: the lab's topics have one replica, so that neither
    `min.insync.replicas` nor `unclean.leader.election.enable` matters, and its producers wait for
    `acks=all`. A syncing now and then, by `flush.ms` or by a larger number, bounds no loss: a
    message is acknowledged before it. A broker that reports no number may be of another kind.
    """
    number = settings.get("flush.messages", "")
    if not number.isdecimal():
        return Durability.UNKNOWN
    return Durability.POWER_LOSS if int(number) == 1 else Durability.PROCESS_CRASH


def durability_of_transactions(settings: Mapping[str, str]) -> Durability:
    """At most process-crash safe, whatever the topic's settings are.

    Whether a transaction counts is decided in the broker's own topic `__transaction_state`, which
    `flush.messages` of the events' topic does not sync. What a power loss leaves is not measured.
    """
    return weakest(durability_of(settings), Durability.PROCESS_CRASH)


FACTS = Facts(
    multi_stream_appends="yes, in one transaction over several partitions (not offered here)",
    transactional_projections="within Kafka only: offsets and output topics in one transaction",
    erasure="by retention or compaction of whole topics; a single event by crypto-shredding",
    backup="replication, or mirroring to another cluster; no snapshot of a topic",
    licence="Apache License 2.0",
    source="https://kafka.apache.org/documentation/#semantics",
)
