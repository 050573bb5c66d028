"""Options of every Kafka variant."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.store import StoreOptions


class KafkaOptions(StoreOptions):
    """What may be chosen beside the design."""

    driver: Literal["aiokafka", "librdkafka"] = Field(
        "aiokafka", description="aiokafka (extra kafka) or confluent-kafka (extra kafka-librdkafka)"
    )
    partitions: int | None = Field(
        None, ge=1, le=64, description="of the topic; 4, and 1 for single-writer: a total order"
    )
    flush: Literal["page-cache", "each"] = Field(
        "page-cache", description="`each` syncs every write to the disk (flush.messages=1)"
    )
    backoff: Literal["stock", "patched"] = Field(
        "stock",
        description="single-writer on aiokafka: its constant 20 ms between transactions, or 1 ms",
    )
    deadline_s: float = Field(
        30.0, gt=0, le=3600, description="an append without an answer by then is unknown"
    )
