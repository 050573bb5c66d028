"""What the errors of aiokafka mean: which outcome an append has, and what a read lacks.

An append that ran out of time is *unknown* where it was handed to the broker. Where it still waited
for its turn it is *not sent*, or the store is *unavailable* if the broker has gone (`overdue`).
All other errors have a row in a table.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from harness.domain.errors import (
    AppendRefused,
    EventTooLarge,
    NotSent,
    OutcomeUnknown,
    StoreError,
    StoreUnavailable,
)
from harness.stores._shared.driver_errors import Mapped, Meanings, Table, described, refused
from harness.stores._shared.drivers import lazy

if TYPE_CHECKING:
    import aiokafka as aiokafka  # noqa: PLC0414 - handed on
else:
    aiokafka = lazy("aiokafka", extra="kafka")


def errors() -> tuple[type[BaseException], ...]:
    """Everything that aiokafka raises, and what it lets through."""
    return (aiokafka.errors.KafkaError, OSError, TimeoutError)


def _too_large(error: BaseException) -> EventTooLarge:
    return EventTooLarge(str(error))


def _aborted(error: BaseException) -> AppendRefused:
    return AppendRefused(f"aborted: {described(error)}", reason=type(error).__name__)


_MEANINGS = Meanings("Kafka")


def _refusals() -> Table:
    kafka = aiokafka.errors
    return {
        kafka.MessageSizeTooLargeError: _too_large,
        kafka.InvalidMessageError: _too_large,
        kafka.TopicAuthorizationFailedError: refused,
        kafka.InvalidTopicError: refused,
    }


@cache
def appends() -> Table:
    """Of a message that was handed over, or of a commit that was asked for."""
    return {**_refusals(), **dict.fromkeys(errors(), _MEANINGS.unknown)}


@cache
def uncommitted() -> Table:
    """Before a commit is asked for: nobody will ever see the transaction."""
    return {**_refusals(), **dict.fromkeys(errors(), _aborted)}


@cache
def _reads() -> Table:
    return {
        TimeoutError: _MEANINGS.late,
        aiokafka.errors.KafkaTimeoutError: _MEANINGS.late,
        aiokafka.errors.KafkaError: _MEANINGS.failed,
        OSError: _MEANINGS.failed,
    }


@cache
def _connections() -> Table:
    return {**dict.fromkeys(errors(), _MEANINGS.not_connected)}


APPENDING, UNCOMMITTED, READING = Mapped(appends), Mapped(uncommitted), Mapped(_reads)
CONNECTING = Mapped(_connections)


def overdue(why: str, *, sent: bool, down: bool) -> StoreError:
    """What an append is whose time is up: unknown once it was sent, else certainly not written.

    `down` tells that no broker answered when last asked.
    """
    if sent:
        return OutcomeUnknown(f"Kafka: {why}")
    return StoreUnavailable(why) if down else NotSent(why)


class Fenced(Exception):
    """Another owner took over. `committing` tells whether a commit was under way."""

    def __init__(self, *, committing: bool) -> None:
        super().__init__("another owner took the partitions over")
        self.committing = committing
