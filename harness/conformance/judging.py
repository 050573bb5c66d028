"""Declared against measured: which of the two was wrong, if any."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.conformance.check import Check, Finding, Verdict
from harness.store import Guarantees


class Word(StrEnum):
    """What the matrix says of one check on one store."""

    HOLDS = "holds"
    HOLDS_NOT_PROMISED = "holds, not promised"
    DEFECT = "declared and fails"
    FACT = "fails, not promised"
    UNSUPPORTED = "declared unsupported"
    NOT_REACHED = "not reached"
    DEFECT_NOT_REACHED = "declared and not reached"


MARKS = {
    Word.HOLDS: "✓",
    Word.HOLDS_NOT_PROMISED: "✓",
    Word.DEFECT: "✗",
    Word.FACT: "✗",
    Word.UNSUPPORTED: "○",
    Word.NOT_REACHED: "?",
    Word.DEFECT_NOT_REACHED: "?",
}

REACHED = ("native", "none")
"""Providers of servers with which nothing declared may stay out of reach."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One cell of the matrix."""

    check: Check
    finding: Finding
    declared: bool
    word: Word

    @property
    def defect(self) -> bool:
        """The store, or its adapter, does not keep what it declares."""
        return self.word in (Word.DEFECT, Word.DEFECT_NOT_REACHED)

    @property
    def mark(self) -> str:
        """One character."""
        return MARKS[self.word]


def judge(
    check: Check, finding: Finding, guarantees: Guarantees, *, provider: str = "none"
) -> Judgement:
    """`provider` is where the store's server came from.

    On a native one, and without any, whatever is declared can be reached.
    """
    declared = check.declaration.promised(guarantees)
    return Judgement(
        check,
        finding,
        declared,
        _word(
            finding,
            declared=declared,
            optional=check.declaration.optional,
            provider=provider,
        ),
    )


def _word(finding: Finding, *, declared: bool, optional: bool, provider: str) -> Word:
    match finding.verdict:
        case Verdict.HOLDS:
            return Word.HOLDS if declared else Word.HOLDS_NOT_PROMISED
        case Verdict.FAILS:
            return Word.DEFECT if declared else Word.FACT
        case Verdict.UNSUPPORTED:
            return Word.DEFECT if declared and not optional else Word.UNSUPPORTED
        case Verdict.NOT_REACHED:
            missed = declared and provider in REACHED and not finding.out_of_reach
            return Word.DEFECT_NOT_REACHED if missed else Word.NOT_REACHED
