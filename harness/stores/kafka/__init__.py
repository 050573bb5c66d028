"""Kafka as an event store: a keyed topic as teams use it, and one with a single fenced owner."""

from __future__ import annotations

from harness.domain.store import StoreKind
from harness.stores.kafka.bare import batched
from harness.stores.kafka.options import KafkaOptions
from harness.stores.kafka.single_writer import SingleWriter
from harness.stores.kafka.store import KeyedTopic

STORE = StoreKind(
    name="kafka",
    summary="Kafka: a topic keyed by stream, or one whose single owner keeps versions",
    variants={"": KeyedTopic, "single-writer": SingleWriter},
    options=KafkaOptions,
    server="kafka",
    extra="kafka",
    drivers=("aiokafka",),
    bare_loops={"": batched},
)
