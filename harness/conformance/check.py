"""A check, what it may find, and how it says so.

A check is an `async def` with one `Bench`. Returning means that the promise held; otherwise it
raises one of `Broken`, `NotReached`, `OutOfReach` and `Unsupported`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from harness.store import Guarantees

if TYPE_CHECKING:
    from harness.conformance.bench import Bench

Run = Callable[["Bench"], Awaitable[None]]


class Requirement(StrEnum):
    """What checks are grouped by, in the order of the matrix. The name of a file each."""

    APPEND_ONLY = "append_only"
    ORDERED = "ordered"
    VERSIONED = "versioned"
    IDEMPOTENT = "idempotent"
    SUBSCRIPTIONS = "subscriptions"
    FIDELITY = "fidelity"
    DURABLE = "durable"

    @property
    def heading(self) -> str:
        """As people write it."""
        return self.value.replace("_", "-").capitalize()


class Verdict(StrEnum):
    """What was measured, whatever was declared."""

    HOLDS = "holds"
    FAILS = "fails"
    UNSUPPORTED = "unsupported"
    NOT_REACHED = "not reached"


class Company(IntEnum):
    """Beside whom a check may run, and in which order."""

    ANYONE = 0
    NOBODY = 1
    """It holds back others' reads, or needs the machine to itself."""
    LAST = 2
    """It restarts, kills or pauses the server, or leaves a log too large for others to read."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of evidence: who did what, what came of it, and when it began."""

    who: str
    did: str
    result: str = ""
    at_ms: float | None = None
    """Since the check began, or since its race did."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found on one store."""

    verdict: Verdict
    why: str = ""
    evidence: tuple[Step, ...] = ()
    out_of_reach: bool = False
    """Not reached because this technology has nothing to reach it with."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Declaration:
    """The part of `Guarantees` that a check belongs to."""

    field: str
    """The name, or the names, of the fields."""
    promised: Callable[[Guarantees], bool]
    optional: bool = False
    """An adapter may leave it out, and then says so."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise and how it is put to the test."""

    number: int
    name: str
    """A sentence without its full stop."""
    requirement: Requirement
    promise: str
    """What a store that passes keeps."""
    provokes: str
    """How the failure is provoked."""
    leaves: str
    """What evidence a failure leaves."""
    declaration: Declaration
    company: Company
    run: Run


class Broken(Exception):
    """The promise was not kept; the smallest evidence of it."""

    def __init__(self, why: str, evidence: Sequence[Step] = ()) -> None:
        super().__init__(why)
        self.why, self.evidence = why, tuple(evidence)


class NotReached(Exception):
    """What had to be provoked did not happen, so nothing is known."""


class OutOfReach(NotReached):
    """This technology has nothing that it could be provoked with."""


class Unsupported(Exception):
    """The store says that it cannot do what the promise is about."""


def check(
    number: int,
    *,
    provokes: str,
    leaves: str,
    declaration: Declaration,
    company: Company = Company.ANYONE,
) -> Callable[[Run], Check]:
    """Make a check of a function.

    Its name is the check's, its docstring the promise, its file the requirement's.
    """

    def made(run: Run) -> Check:
        requirement = Requirement(run.__module__.rpartition(".")[2])
        name, promise = run.__name__.replace("_", " "), (run.__doc__ or "").strip()
        return Check(
            number, name, requirement, promise, provokes, leaves, declaration, company, run
        )

    return made
