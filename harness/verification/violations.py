"""Results of verification: kinds of violations, the guarantee that each breaks, and counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import numpy as np

from harness.domain.identity import event_id
from harness.domain.store import Guarantees
from harness.verification.columns import Flags, Ints
from harness.verification.history import Found


class Kind(StrEnum):
    """Kinds of violations. The values are stored in results and never reused."""

    LOST = "lost"
    """Acknowledged, and not in the log. Counted per event."""
    DUPLICATED = "duplicated"
    """In the log more than once though sent once. Counted per extra copy."""
    RETRY_DUPLICATED = "retry-duplicated"
    """In the log more than once because its append was retried. Counted per extra copy."""
    FOREIGN = "foreign"
    """In the log though it was never sent. Counted per event."""
    WRITTEN_THOUGH_REFUSED = "written-though-refused"
    """In the log though its append was certainly refused. Counted per event."""
    TORN = "torn"
    """Of an append with unknown outcome only a part is in the log. Counted per append."""
    ALTERED = "altered"
    """The payload as read differs from the one written. Counted per event."""
    NOT_CONTIGUOUS = "not-contiguous"
    """A stream's versions have a gap, or a version occurs twice. Counted per place."""
    BATCH_BROKEN = "batch-broken"
    """Events of one append are not at consecutive versions in their order. Counted per append."""
    MISPLACED = "misplaced"
    """Not at the acknowledged place. Counted per acknowledgement."""
    EXPECTED_VERSION_IGNORED = "expected-version-ignored"
    """Written where its expected version did not hold: a lost update. Counted per append."""
    INVERTED = "inverted"
    """The global read goes back in a stream. Counted per step back."""
    POSITION_NOT_INCREASING = "position-not-increasing"
    """A global position is not greater than the one read before it. Counted per event."""
    STREAM_READ_DIFFERS = "stream-read-differs"
    """A stream read by itself differs from its events in the global read. Counted per stream."""
    STALE_READ = "stale-read"
    """A read began after an append was acknowledged, and does not show it. Counted per read."""
    SKIPPED = "skipped"
    """In the log, and a subscriber never received it. Counted per subscriber and event."""
    DELIVERED_TWICE = "delivered-twice"
    """A subscriber received it again. Counted per extra delivery."""
    DELIVERED_OUT_OF_ORDER = "delivered-out-of-order"
    """A subscriber received it after a later event of its stream. Counted per step back."""
    DELIVERED_UNWRITTEN = "delivered-unwritten"
    """A subscriber received it, and the log has no such event there. Counted per delivery."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One violation. `version` is -1 and `event_id` is `None` where they are unknown."""

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
class Staleness:
    """How many reads there were, how many did not show an append acknowledged before they began.

    And for how long it had been acknowledged: the earliest one that a read does not show counts.
    """

    reads: int
    stale: int
    p99_ns: float | None
    """Of the stale ones; `None` with fewer than ten beyond it."""
    max_ns: int | None


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of verification: exact `counts`, and the first few `violations` of each kind.

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
    refused_though_written: int = 0
    """Appends whose retry ended in a conflict although the first attempt, of unknown outcome, was
    written: a fact about the client's way to go on, no violation."""
    staleness: Staleness | None = None
    """Of clients' reads; `None` where no workload reports them, or appends tell no version."""
    lost_events: Sequence[int] = ()
    """Sequence numbers of acknowledged events that are not in the log, the first of them."""

    @property
    def ok(self) -> bool:
        """Whether there is no violation."""
        return not self.counts


KEPT_A_KIND = 10
"""Violations kept per kind, so that thousands of one kind do not displace one of another."""

LOST_KEPT = 1_000_000
"""Lost events of which it is known when they were acknowledged."""

_REPORTED: tuple[tuple[Kind, ...], ...] = (
    (Kind.LOST,),
    (Kind.DUPLICATED,),
    (Kind.RETRY_DUPLICATED,),
    (Kind.FOREIGN,),
    (Kind.WRITTEN_THOUGH_REFUSED,),
    (Kind.ALTERED,),
    (Kind.EXPECTED_VERSION_IGNORED,),
    (Kind.NOT_CONTIGUOUS,),
    (Kind.BATCH_BROKEN,),
    (Kind.MISPLACED,),
    (Kind.INVERTED,),
    (Kind.POSITION_NOT_INCREASING,),
    (Kind.TORN,),
    (Kind.STREAM_READ_DIFFERS,),
    (Kind.STALE_READ,),
    (Kind.DELIVERED_UNWRITTEN, Kind.SKIPPED, Kind.DELIVERED_TWICE, Kind.DELIVERED_OUT_OF_ORDER),
)
"""The order in which kinds are listed; those of subscribers go together, one after the other."""
_PLACES = {
    kind: (place, within)
    for place, kinds in enumerate(_REPORTED)
    for within, kind in enumerate(kinds)
}

Detail = str | Callable[[int], str]
"""The text, or a function that makes it from an index into the columns."""
Rank = tuple[int | Ints, Ints]
"""The order of a kind's violations: by the first, such as a subscriber, then by the second."""


class Violations:
    """Counts violations and keeps the first few of each kind, in whatever order they are found.

    `base` turns sequence numbers back into event ids.
    """

    def __init__(
        self,
        *,
        base: int,
        names: Mapping[int, str],
        foreign: Mapping[tuple[int, int], UUID],
    ) -> None:
        self.lost_events: list[int] = []
        """Of the kind `LOST`, up to `LOST_KEPT`."""
        self._counts: dict[Kind, int] = {}
        self._kept: dict[Kind, list[tuple[tuple[int, int], Violation]]] = {}
        self._base = base
        self._names = names
        self._foreign = foreign

    @property
    def counts(self) -> dict[Kind, int]:
        """How many there are of each kind, in the order of listing."""
        return {kind: self._counts[kind] for kind in sorted(self._counts, key=_PLACES.__getitem__)}

    @property
    def examples(self) -> list[Violation]:
        """The first few of each kind."""
        listed = [
            ((_PLACES[kind][0], rank[0], _PLACES[kind][1], rank[1]), violation)
            for kind, kept in self._kept.items()
            for rank, violation in kept
        ]
        return [violation for _, violation in sorted(listed, key=lambda each: each[0])]

    def add(
        self,
        kind: Kind,
        stream: Ints,
        version: Ints,
        event: Ints,
        detail: Detail,
        *,
        rank: Rank | None = None,
    ) -> None:
        """Count one violation an element; the columns are equally long.

        Without a rank they come after those that are there.
        """
        if not len(event):
            return
        before = self._counts.get(kind, 0)
        self._counts[kind] = before + len(event)
        if kind is Kind.LOST:
            self.lost_events += event[: LOST_KEPT - len(self.lost_events)].tolist()
        group, number = rank or (0, np.arange(before, before + len(event)))
        groups = np.broadcast_to(group, len(event))
        kept = self._kept.setdefault(kind, [])
        for index in np.lexsort((number, groups))[:KEPT_A_KIND].tolist():
            place = int(groups[index]), int(number[index])
            if len(kept) == KEPT_A_KIND and place >= kept[-1][0]:
                break
            text = detail if isinstance(detail, str) else detail(index)
            where = int(stream[index]), int(version[index])
            kept.append((place, self._violation(kind, *where, int(event[index]), text)))
            kept.sort(key=lambda each: each[0])
            del kept[KEPT_A_KIND:]

    def add_rows(
        self,
        kind: Kind,
        log: Found,
        rows: Ints | Flags,
        detail: Detail,
        *,
        group: int = 0,
    ) -> None:
        """Count one violation a row of a log; they rank as they were read."""
        rank = group, log.row[rows]
        self.add(kind, log.stream[rows], log.version[rows], log.event[rows], detail, rank=rank)

    def name_of(self, stream: int) -> str:
        """The name of a stream's number."""
        return self._names.get(stream, f"stream number {stream}")

    def _violation(
        self, kind: Kind, stream: int, version: int, event: int, detail: str
    ) -> Violation:
        known = event_id(self._base, event) if event >= 0 else self._foreign.get((stream, version))
        return Violation(kind, self.name_of(stream), version, known, detail)


Promise = Callable[[Guarantees], bool]


def _contract(_: Guarantees) -> bool:
    """Kinds that every adapter rules out, whatever it declares."""
    return True


def _keeps(declared: Guarantees) -> bool:
    return declared.append_only != "none"


def _keeps_ids(declared: Guarantees) -> bool:
    return declared.keeps_ids


def _reads_streams_whole(declared: Guarantees) -> bool:
    return _keeps(declared) and declared.whole_streams


def _appends_whole(declared: Guarantees) -> bool:
    return declared.atomic_append


def _checks_versions(declared: Guarantees) -> bool:
    return declared.occ != "none"


def _orders(declared: Guarantees) -> bool:
    return declared.global_order != "none"


PROMISES: Mapping[Kind, Promise] = {
    Kind.LOST: _keeps,
    Kind.DUPLICATED: _keeps,
    Kind.RETRY_DUPLICATED: lambda declared: declared.idempotency == "durable",
    Kind.FOREIGN: _keeps_ids,
    Kind.WRITTEN_THOUGH_REFUSED: _contract,
    Kind.TORN: _appends_whole,
    Kind.ALTERED: _contract,
    Kind.NOT_CONTIGUOUS: _keeps,
    Kind.BATCH_BROKEN: _appends_whole,
    Kind.MISPLACED: _checks_versions,
    Kind.EXPECTED_VERSION_IGNORED: _checks_versions,
    Kind.INVERTED: _orders,
    Kind.POSITION_NOT_INCREASING: lambda declared: declared.global_order == "total",
    Kind.STREAM_READ_DIFFERS: _reads_streams_whole,
    Kind.STALE_READ: lambda declared: declared.reads == "strong",
    Kind.SKIPPED: lambda declared: declared.gap_free_read,
    Kind.DELIVERED_TWICE: _orders,
    Kind.DELIVERED_OUT_OF_ORDER: _orders,
    Kind.DELIVERED_UNWRITTEN: _keeps,
}
"""`idempotency: window` promises nothing that can be checked: the end of the window is not visible.
`altered` breaks every declaration: the reader already compares by the declared `payload`."""


def declared(kind: str, guarantees: Guarantees) -> bool:
    """Whether a violation of this kind breaks a guarantee that the variant declares."""
    return PROMISES[Kind(kind)](guarantees)
