"""A race judged as a benchmark's history is: by `harness.history`, on what was acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy as np

from harness.conformance.check import Broken, Step
from harness.conformance.racing import Attempt
from harness.errors import StoreError
from harness.history import ANY, EXISTS, FOREIGN, NO_STREAM, Appends, Kind, Log, Violation, check
from harness.outcome import Outcome, outcome_of
from harness.store import ExpectedVersion, RecordedEvent, StreamState

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
"""The kinds that checks ask for, in a reader's words."""

_STATES = {StreamState.ANY: ANY, StreamState.NO_STREAM: NO_STREAM, StreamState.EXISTS: EXISTS}


def judge(attempts: Sequence[Attempt], recorded: Sequence[RecordedEvent], *kinds: Kind) -> None:
    """Raises `Broken` if what was read of the attempts' streams is wrong in one of these ways.

    Nothing may be under way. `recorded` is in the order in which it was read, from one stream
    or from the log; refused attempts and those of unknown outcome may be among the others.
    """
    race = _Race(attempts)
    found = check(race.appends(), race.log(recorded), base=0, global_order="per-partition")
    wrong = [each for each in found.violations if each.kind in kinds]
    if not wrong:
        return
    first, count = wrong[0], sum(found.counts.get(kind, 0) for kind in kinds)
    why = WHY[first.kind] if count == 1 else f"{WHY[first.kind]} ({count} such)"
    standing = _in_question(first, recorded, race)
    in_question = [each.event_id.int for each in wrong[:SHOWN] if each.event_id is not None]
    senders = race.senders([*in_question, *race.numbers(standing)])
    raise Broken(why, [*senders, *_read(first, standing, race)])


class _Race:
    """Numbers for the streams and events of a race, as the columns of a history want them."""

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
        """A row an attempt."""
        rows = [
            (
                number,
                self._stream(each.stream),
                self._numbers[each.batch[0].id],
                len(each.batch),
                _code(each.expected),
                -1 if isinstance(each.ended, StoreError) else each.ended.version,
                outcome_of(each.ended) if isinstance(each.ended, StoreError) else Outcome.OK,
            )
            for number, each in enumerate(self._attempts)
        ]
        return Appends(*np.array(rows, np.int64).reshape(-1, 7).T)

    def log(self, recorded: Sequence[RecordedEvent]) -> Log:
        """A row a recorded event; payloads and positions are other checks' business."""
        rows = [
            (self._stream(event.stream), event.version, self._numbers.get(event.id, FOREIGN))
            for event in recorded
        ]
        stream, version, event = np.array(rows, np.int64).reshape(-1, 3).T
        good = np.ones(len(rows), np.bool_)
        names = {number: name for name, number in self._streams.items()}
        return Log(stream, version, event, intact=good, ascending=good, names=names)

    def numbers(self, recorded: Sequence[RecordedEvent]) -> list[int]:
        """Of those among these events that somebody in the race sent."""
        return [self._numbers[event.id] for event in recorded if event.id in self._numbers]

    def named(self, event: RecordedEvent) -> str:
        """The event's id, and which one of its append's it is."""
        number = self._numbers.get(event.id)
        if number is None:
            return f"event {event.id}, which nobody sent"
        batch = self._attempts[self._senders[number]].batch
        nth = number - self._numbers[batch[0].id] + 1
        return f"event {event.id}, {nth} of {len(batch)} in its append"

    def senders(self, events: Sequence[int]) -> list[Step]:
        """Who sent the events of these numbers, each once."""
        senders = dict.fromkeys(self._senders[event] for event in events)
        return [self._attempts[sender].step(self._attempts) for sender in senders]

    def _stream(self, name: str) -> int:
        return self._streams.setdefault(name, len(self._streams))


def _code(expected: ExpectedVersion) -> int:
    return _STATES[expected] if isinstance(expected, StreamState) else expected


def _in_question(
    wrong: Violation, recorded: Sequence[RecordedEvent], race: _Race
) -> list[RecordedEvent]:
    """What stands at the place, behind the event that should not have been read before it."""
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
    """The events in question, in the order in which they were read, and what is said of them."""
    read = [
        Step(
            "a reader",
            f"read {each.stream!r} version {each.version}",
            f"{race.named(each)}, at position {each.position}",
        )
        for each in standing[:SHOWN]
    ]
    version = wrong.version if wrong.version >= 0 else "unknown"
    nothing = Step("a reader", f"read {wrong.stream!r} version {version}", "nothing")
    return [*(read or [nothing]), Step("the history", "says", f"{wrong.kind}: {wrong.detail}")]
