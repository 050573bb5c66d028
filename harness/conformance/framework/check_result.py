"""What a check measures on a store, its evidence, and how evidence describes events and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.domain.boundaries import BoundaryAppend
from harness.domain.durability import PowerLosses
from harness.domain.errors import (
    AppendRefused,
    BoundaryViolated,
    OutOfResources,
    StoreError,
    UnsupportedByStore,
    WrongExpectedVersion,
)
from harness.domain.store import (
    AppendResult,
    NewEvent,
    RecordedEvent,
)

SHORT_ID = 8
"""Letters of an id: enough to distinguish one check's events."""
IDS_MAX = 4
VERSIONS_MAX = 12


class CheckVerdict(StrEnum):
    """What was measured, whatever was declared."""

    HOLDS = "holds"
    FAILS = "fails"
    UNSUPPORTED = "unsupported"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of evidence: who did what, with which result, and when it began."""

    who: str
    did: str
    result: str = ""
    at_ms: float | None = None
    """Since the check or its race began."""


@dataclass(frozen=True, slots=True)
class Provocation:
    """How often a check met the situation that it is about, and how often it has to."""

    what: str
    """In the plural, `appends that overlap`."""
    count: int
    least: int
    """Below this the check proves nothing; 0 where the count is shown and not required."""

    @property
    def enough(self) -> bool:
        """Whether the check may conclude anything."""
        return self.count >= self.least

    def __str__(self) -> str:
        least = f", at least {self.least:,} needed" if self.least else ""
        return f"{self.count:,} {self.what}{least}"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check on one store."""

    verdict: CheckVerdict
    why: str = ""
    evidence: tuple[Step, ...] = ()
    out_of_reach: bool = False
    """Not reached because this technology has no means to provoke it."""
    seconds: float = 0.0
    provoked: tuple[Provocation, ...] = ()
    """What the check counted, the most telling count first."""
    for_good: bool = False
    """It fails because the store does not work any more, which excuses another failure."""
    power_losses: PowerLosses | None = None
    """What they left, where the check measured it."""
    disturbed: bool = False
    """Not reached because of the machine, the server or the driver: a second try may reach it."""


class Broken(Exception):
    """The promise is broken. Carries the smallest evidence of it.

    `for_good`: the store does not work any more, and that is what was found.
    """

    def __init__(self, why: str, evidence: Sequence[Step] = (), *, for_good: bool = False) -> None:
        super().__init__(why)
        self.why, self.evidence, self.for_good = why, tuple(evidence), for_good


class NotReached(Exception):
    """The situation to be provoked did not occur, so the check proves nothing."""


class OutOfReach(NotReached):
    """This technology has no means to provoke the situation."""


class Disturbed(NotReached):
    """A call got no decision of the store: no server, no answer, no room, no file handles."""


class Unsupported(Exception):
    """The store declares that it cannot do what the promise is about."""


Answer = AppendResult | BoundaryAppend | StoreError


def is_decision(answer: Answer) -> bool:
    """Whether the store itself decided: it acknowledged, or refused for what was asked of it.

    Nothing follows about a store that could not be reached, did not answer or had no room.
    """
    if isinstance(answer, AppendResult | BoundaryAppend):
        return True
    refusals = WrongExpectedVersion | BoundaryViolated | AppendRefused | UnsupportedByStore
    return isinstance(answer, refusals) and not isinstance(answer, OutOfResources)


def describe_answer(answer: Answer) -> str:
    """The outcome of an append in one line."""
    if isinstance(answer, AppendResult):
        return f"acknowledged as version {answer.version}"
    if isinstance(answer, BoundaryAppend):
        return f"acknowledged at position {answer.position}"
    return describe_error(answer)


def describe_error(error: Exception) -> str:
    """The error's class and the first line of its message."""
    message = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {message}".strip(": ")


def describe_ids(events: Sequence[NewEvent | RecordedEvent]) -> str:
    """The count of events and their ids, `2 (0b6c5a7e 17aa03d1)`; of many the first and last."""
    ids = [str(event.id)[:SHORT_ID] for event in events]
    if len(ids) > IDS_MAX:
        ids = [ids[0], "…", ids[-1]]
    return f"{len(events)} ({' '.join(ids)})" if ids else "0"


def describe_versions(events: Sequence[RecordedEvent]) -> str:
    """`order-1@0 order-1@1 …`; of many the newest."""
    if not events:
        return "nothing"
    left_out = f"{len(events) - VERSIONS_MAX} before, " if len(events) > VERSIONS_MAX else ""
    return left_out + " ".join(f"{each.stream}@{each.version}" for each in events[-VERSIONS_MAX:])
