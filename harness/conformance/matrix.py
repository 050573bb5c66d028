"""The guarantee matrix as plain data: stores across, requirements and checks down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.conformance.check import Check, Requirement
from harness.conformance.judging import Judgement, Word
from harness.conformance.profiles import Profile
from harness.store import Guarantees

FORMAT_VERSION = 1
_WORST_FIRST = (
    Word.DEFECT, Word.DEFECT_NOT_REACHED, Word.FACT, Word.UNSUPPORTED, Word.NOT_REACHED,
    Word.HOLDS, Word.HOLDS_NOT_PROMISED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """One store of the matrix."""

    key: str
    guarantees: Guarantees
    judgements: Mapping[int, Judgement]
    """By the number of the check."""
    provider: str = "none"
    server_version: str = ""

    @property
    def defects(self) -> Sequence[Judgement]:
        """What is declared and does not hold, or was not reached although it could be."""
        return [each for each in self.judgements.values() if each.defect]


@dataclass(frozen=True, slots=True)
class Matrix:
    """What a run of checks found."""

    checks: Sequence[Check]
    columns: Sequence[Column]
    profile: Profile
    seed: int

    @property
    def exit_code(self) -> int:
        """1 if anything declared is not so."""
        return 1 if any(column.defects for column in self.columns) else 0

    def as_json(self) -> dict[str, Any]:
        """`conformance.json`."""
        return {
            "format_version": FORMAT_VERSION,
            "profile": self.profile.name,
            "seconds": self.profile.seconds,
            "seed": self.seed,
            "checks": [described(check) for check in self.checks],
            "stores": [_column(column) for column in self.columns],
        }


def requirements(checks: Iterable[Check]) -> list[Requirement]:
    """Those that the checks belong to, in the order of the matrix."""
    present = {check.requirement for check in checks}
    return [each for each in Requirement if each in present]


def summary(judgements: Iterable[Judgement]) -> Word:
    """One word for several checks, the worst: it holds only where all of them do."""
    words = {each.word for each in judgements}
    return next((word for word in _WORST_FIRST if word in words), Word.NOT_REACHED)


def described(check: Check) -> dict[str, Any]:
    """A check without its code."""
    return {
        "number": check.number,
        "name": check.name,
        "requirement": check.requirement.value,
        "promise": check.promise,
        "provokes": check.provokes,
        "leaves": check.leaves,
        "declared_by": check.declaration.field,
    }


def _column(column: Column) -> dict[str, Any]:
    by_requirement: dict[str, list[Judgement]] = {}
    for each in column.judgements.values():
        by_requirement.setdefault(each.check.requirement.value, []).append(each)
    return {
        "store": column.key,
        "provider": column.provider,
        "server_version": column.server_version,
        "guarantees": asdict(column.guarantees),
        "requirements": {name: summary(each).value for name, each in by_requirement.items()},
        "results": [_cell(each) for each in column.judgements.values()],
    }


def _cell(judgement: Judgement) -> dict[str, Any]:
    finding = judgement.finding
    return {
        "check": judgement.check.number,
        "verdict": finding.verdict.value,
        "declared": judgement.declared,
        "word": judgement.word.value,
        "mark": judgement.mark,
        "defect": judgement.defect,
        "why": finding.why,
        "evidence": [asdict(step) for step in finding.evidence],
        "seconds": finding.seconds,
    }
