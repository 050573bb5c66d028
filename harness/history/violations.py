"""What verification can find: kinds, single violations, and all of them counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Kind(StrEnum):
    """What is wrong. The values are stored in results and never reused."""

    LOST = "lost"
    """Acknowledged, and not in the log. Counted an event."""
    DUPLICATED = "duplicated"
    """In the log more than once though sent once. Counted an extra copy."""
    RETRY_DUPLICATED = "retry-duplicated"
    """In the log more than once because its append was retried. Counted an extra copy."""
    FOREIGN = "foreign"
    """In the log though nobody sent it. Counted an event."""
    WRITTEN_THOUGH_REFUSED = "written-though-refused"
    """In the log though its append was answered with a certain no. Counted an event."""
    TORN = "torn"
    """Of an append with unknown outcome only a part is in the log. Counted an append."""
    ALTERED = "altered"
    """The payload came back changed. Counted an event."""
    NOT_CONTIGUOUS = "not-contiguous"
    """A stream's versions leave a gap, or one was given twice. Counted a place."""
    BATCH_BROKEN = "batch-broken"
    """Events of one append are not at consecutive versions in their order. Counted an append."""
    MISPLACED = "misplaced"
    """Not where the acknowledgement said. Counted an acknowledgement."""
    EXPECTED_VERSION_IGNORED = "expected-version-ignored"
    """Written where its expected version did not hold: a lost update. Counted an append."""
    INVERTED = "inverted"
    """The global read goes back in a stream. Counted a step back."""
    POSITION_NOT_INCREASING = "position-not-increasing"
    """A global position does not lie behind the one read before it. Counted an event."""
    STREAM_READ_DIFFERS = "stream-read-differs"
    """A stream read by itself is not what the global read has of it. Counted a stream."""
    SKIPPED = "skipped"
    """In the log, and a subscriber never saw it. Counted a subscriber and event."""
    DELIVERED_TWICE = "delivered-twice"
    """A subscriber saw it again. Counted an extra delivery."""
    DELIVERED_OUT_OF_ORDER = "delivered-out-of-order"
    """A subscriber saw it behind a later event of its stream. Counted a step back."""
    DELIVERED_UNWRITTEN = "delivered-unwritten"
    """A subscriber saw it, and the log has no such event there. Counted a delivery."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong. `version` is -1 and `event_id` is `None` where nobody knows."""

    kind: Kind
    stream: str
    version: int
    event_id: UUID | None
    detail: str

    def __str__(self) -> str:
        version = self.version if self.version >= 0 else "unknown"
        event = self.event_id or "unknown"
        return f"{self.kind}: stream {self.stream!r} version {version} event {event}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found. `counts` is exact; `violations` keeps the first few of each kind.

    `unknown_written` and `unknown_lost` are appends of unknown outcome, retries of the same
    events counted once and those acknowledged later left out, resolved as of the reading.
    """

    violations: tuple[Violation, ...]
    counts: Mapping[Kind, int]
    unknown_written: int
    unknown_lost: int
    streams_read: int
    streams_total: int
    events_read: int

    @property
    def ok(self) -> bool:
        """Nothing was found."""
        return not self.counts
