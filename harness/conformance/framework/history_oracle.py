"""Verifies a race as a benchmark's history is verified, by `harness.verification`."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy as np

from harness.conformance.framework.check_result import Broken, Step
from harness.conformance.framework.races import Attempt
from harness.domain.errors import StoreError
from harness.domain.expected_version import code_of
from harness.domain.outcome import Outcome, outcome_of
from harness.domain.store import RecordedEvent
from harness.verification import (
    FOREIGN,
    Appends,
    Kind,
    Log,
    Violation,
    check,
)

SHOWN = 3
WHY = {
    Kind.LOST: "an acknowledged event is gone",
    Kind.DUPLICATED: "an event is there twice",
    Kind.FOREIGN: "an event is there that nobody sent",
    Kind.WRITTEN_THOUGH_REFUSED: "an event is there though its append was refused",
    Kind.TORN: "a part of an append without an answer is there",
    Kind.NOT_CONTIGUOUS: "versions are not contiguous",
    Kind.BATCH_BROKEN: "the events of one append do not stand together in their order",
    Kind.MISPLACED: "an event is not where it was acknowledged",
    Kind.EXPECTED_VERSION_IGNORED: "an append was written where its expectation did not hold",
    Kind.INVERTED: "the log inverts a stream",
}
"""The kinds of violations that checks look for, in plain words."""


def require_history(
    attempts: Sequence[Attempt], recorded: Sequence[RecordedEvent], *kinds: Kind
) -> None:
    """Raises `Broken` if the events read have violations of these kinds.

    No append may be under way. `recorded` is in the order of reading, from one stream or from the
    log; the attempts may include refused ones and those of unknown outcome.
    """
    race = _Race(attempts)
    checked = check(race.appends(), race.log(recorded), base=0, global_order="per-partition")
    wrong = [each for each in checked.violations if each.kind in kinds]
    if not wrong:
        return
    first, count = wrong[0], sum(checked.counts.get(kind, 0) for kind in kinds)
    why = WHY[first.kind] if count == 1 else f"{WHY[first.kind]} ({count} such)"
    standing = _in_question(first, recorded, race)
    violating = [each.event_id.int for each in wrong[:SHOWN] if each.event_id is not None]
    senders = race.senders([*violating, *race.numbers(standing)])
    raise Broken(why, [*senders, *_read(first, standing, race)])


class _Race:
    """Numbers the streams and events of a race, as columns of a history."""

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        self._attempts = attempts
        self._numbers: dict[UUID, int] = {}
        self._senders: list[int] = []
        for sender, each in enumerate(attempts):
            for event in each.batch:
                self._numbers[event.id] = len(self._senders)
                self._senders.append(sender)
        self._streams: dict[str, int] = {}

    def appends(self) -> Appends:
        """One row for each attempt."""
        rows = [
            (
                number,
                self._stream(each.stream),
                self._numbers[each.batch[0].id],
                len(each.batch),
                code_of(each.expected),
                -1 if isinstance(each.answer, StoreError) else each.answer.version,
                outcome_of(each.answer) if isinstance(each.answer, StoreError) else Outcome.OK,
            )
            for number, each in enumerate(self._attempts)
        ]
        return Appends(*np.array(rows, np.int64).reshape(-1, 7).T)

    def log(self, recorded: Sequence[RecordedEvent]) -> Log:
        """One row for each recorded event; payloads and positions are left to other checks."""
        rows = [
            (self._stream(event.stream), event.version, self._numbers.get(event.id, FOREIGN))
            for event in recorded
        ]
        stream, version, event = np.array(rows, np.int64).reshape(-1, 3).T
        all_true = np.ones(len(rows), np.bool_)
        names = {number: name for name, number in self._streams.items()}
        return Log(stream, version, event, intact=all_true, ascending=all_true, names=names)

    def numbers(self, recorded: Sequence[RecordedEvent]) -> list[int]:
        """The numbers of those events that a racer sent."""
        return [self._numbers[event.id] for event in recorded if event.id in self._numbers]

    def describe(self, event: RecordedEvent) -> str:
        """The event's id and its place in its append."""
        number = self._numbers.get(event.id)
        if number is None:
            return f"event {event.id}, which nobody sent"
        batch = self._attempts[self._senders[number]].batch
        nth = number - self._numbers[batch[0].id] + 1
        return f"event {event.id}, {nth} of {len(batch)} in its append"

    def senders(self, events: Sequence[int]) -> list[Step]:
        """The attempts that sent the events of these numbers, each once."""
        senders = dict.fromkeys(self._senders[event] for event in events)
        return [self._attempts[sender].step(self._attempts) for sender in senders]

    def _stream(self, name: str) -> int:
        return self._streams.setdefault(name, len(self._streams))


def _in_question(
    wrong: Violation, recorded: Sequence[RecordedEvent], race: _Race
) -> list[RecordedEvent]:
    """The events at the violation's place, after the event that wrongly precedes them."""
    place = wrong.stream, wrong.version
    standing = [each for each in recorded if (each.stream, each.version) == place]
    if wrong.kind is Kind.INVERTED and standing:
        before = recorded[: recorded.index(standing[0])]
        later = [e for e in before if e.stream == wrong.stream and e.version > wrong.version]
        return [*later[-1:], *standing]
    if wrong.kind is Kind.BATCH_BROKEN and wrong.event_id is not None:
        before_it = wrong.event_id.int - 1
        return [*[e for e in recorded if race.numbers([e]) == [before_it]], *standing]
    return standing


def _read(wrong: Violation, standing: Sequence[RecordedEvent], race: _Race) -> list[Step]:
    """The events in question in the order of reading, and the violation."""
    read = [
        Step(
            "a reader",
            f"read {each.stream!r} version {each.version}",
            f"{race.describe(each)}, at position {each.position}",
        )
        for each in standing[:SHOWN]
    ]
    version = wrong.version if wrong.version >= 0 else "unknown"
    nothing = Step("a reader", f"read {wrong.stream!r} version {version}", "nothing")
    return [*(read or [nothing]), Step("the history", "says", f"{wrong.kind}: {wrong.detail}")]
