"""What an acknowledged append survives, from the topic's settings as read back."""

from __future__ import annotations

from collections.abc import Mapping

from harness.store import Durability
from harness.stores.kafka.options import KafkaOptions

TOPIC: Mapping[str, str] = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",
}


def topic_settings(options: KafkaOptions) -> dict[str, str]:
    """How the topic is made."""
    return {**TOPIC, **({"flush.messages": "1"} if options.flush == "each" else {})}


def durability_of(settings: Mapping[str, str]) -> Durability:
    """Acknowledged from the page cache of one broker, unless every message is synced."""
    return Durability.POWER_LOSS if settings.get("flush.messages") == "1" else _CACHED


_CACHED = Durability.PROCESS_CRASH
