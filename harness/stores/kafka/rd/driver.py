"""confluent-kafka, loaded on first use: how its clients are set, and what its errors mean."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from harness.errors import (
    AppendRefused,
    EventTooLarge,
    NotSent,
    OutcomeUnknown,
    ReadFailed,
    ReadTimeout,
    StoreError,
)
from harness.store import Endpoint
from harness.stores.drivers import lazy

if TYPE_CHECKING:
    import confluent_kafka as confluent_kafka  # noqa: PLC0414 - handed on
else:
    confluent_kafka = lazy("confluent_kafka", extra="kafka-librdkafka")

LOG = logging.getLogger("librdkafka")
# It tells of every retry; what comes of them is the error of a call.
LOG.setLevel(logging.CRITICAL)
MS_A_SECOND = 1000

Settings = dict[str, Any]


def administration() -> Any:
    """The package's module for administrators, which it does not load by itself.

    Raises `MissingExtra`.
    """
    _ = confluent_kafka.TopicPartition
    return importlib.import_module("confluent_kafka.admin")


def connection(endpoint: Endpoint) -> Settings:
    """Settings of every client: where the cluster is and how to be let in."""
    told = endpoint.credentials
    found: Settings = {
        "bootstrap.servers": endpoint.address,
        "security.protocol": told.get("security", "PLAINTEXT"),
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 200,
        "logger": LOG,
        # Without a callback, what is merely said about a connection comes out of `poll`.
        "error_cb": _said,
    }
    if "username" in told:
        found["sasl.mechanism"] = told["mechanism"]
        found["sasl.username"], found["sasl.password"] = told["username"], told["password"]
    if "ca" in told:
        found["ssl.ca.location"] = told["ca"]
    return found


def append_error(error: Any) -> StoreError:
    """The answer to "was it written?" in a `KafkaError` about a message that was handed over."""
    codes = confluent_kafka.KafkaError
    if error.code() in (codes.MSG_SIZE_TOO_LARGE, codes.INVALID_MSG_SIZE):
        return EventTooLarge(error.str())
    if error.code() == codes._QUEUE_FULL:
        return NotSent(error.str())
    if error.code() in (codes.TOPIC_AUTHORIZATION_FAILED, codes._UNKNOWN_TOPIC):
        return AppendRefused(error.str(), reason=error.name())
    return OutcomeUnknown(f"Kafka: {error.name()}: {error.str()}")


def uncommitted_error(error: Any) -> StoreError:
    """What went wrong before a commit was asked for: nobody will ever see the transaction."""
    known = append_error(error)
    if isinstance(known, OutcomeUnknown):
        return AppendRefused(f"aborted: {error.str()}", reason=error.name())
    return known


def read_error(error: Any) -> StoreError:
    """What a `KafkaError` means for a read."""
    if error.code() in (confluent_kafka.KafkaError._TIMED_OUT,):
        return ReadTimeout("Kafka did not answer before the deadline")
    return ReadFailed(f"Kafka: {error.name()}: {error.str()}")


def passing(error: Any) -> bool:
    """Whether a read may be tried again: a fresh topic's broker may not know yet that it leads."""
    codes = confluent_kafka.KafkaError
    return error.code() in (
        codes.NOT_LEADER_FOR_PARTITION,
        codes.LEADER_NOT_AVAILABLE,
        codes.FENCED_LEADER_EPOCH,
        codes.UNKNOWN_LEADER_EPOCH,
    )


def _said(error: Any) -> None:
    LOG.info("%s", error)
