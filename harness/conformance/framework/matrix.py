"""Declared against measured: the guarantee matrix, stores across and checks down, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from harness.conformance.framework.check import Check, Requirement
from harness.conformance.framework.check_context import Profile
from harness.conformance.framework.check_result import CheckResult, CheckVerdict
from harness.domain.durability import Durability, PowerLosses, weakest
from harness.domain.store import Guarantees

FORMAT_VERSION = 1


class Conclusion(StrEnum):
    """What the matrix says of one check on one store, given what the store declares."""

    HOLDS = "holds"
    HOLDS_NOT_PROMISED = "holds, not promised"
    DECLARED_AND_FAILS = "declared and fails"
    FAILS_NOT_PROMISED = "fails, not promised"
    UNSUPPORTED = "declared unsupported"
    NOT_REACHED = "not reached"
    DECLARED_NOT_REACHED = "declared and not reached"


MARKS = {
    Conclusion.HOLDS: "✓",
    Conclusion.HOLDS_NOT_PROMISED: "✓",
    Conclusion.DECLARED_AND_FAILS: "✗",
    Conclusion.FAILS_NOT_PROMISED: "✗",
    Conclusion.UNSUPPORTED: "○",
    Conclusion.NOT_REACHED: "?",
    Conclusion.DECLARED_NOT_REACHED: "?",
}
_WORST_FIRST = (
    Conclusion.DECLARED_AND_FAILS, Conclusion.DECLARED_NOT_REACHED, Conclusion.FAILS_NOT_PROMISED,
    Conclusion.UNSUPPORTED, Conclusion.NOT_REACHED, Conclusion.HOLDS, Conclusion.HOLDS_NOT_PROMISED,
)  # fmt: skip
_MUST_REACH = ("native", "none")
"""Providers with whose servers every declared guarantee can be tested."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One cell of the matrix."""

    check: Check
    result: CheckResult
    declared: bool
    conclusion: Conclusion

    @property
    def defect(self) -> bool:
        """The store, or its adapter, does not keep what it declares: the check saw it."""
        return self.conclusion is Conclusion.DECLARED_AND_FAILS

    @property
    def unproven(self) -> bool:
        """Declared and could have been tested here, but was not: no accusation, and no ✓."""
        return self.conclusion is Conclusion.DECLARED_NOT_REACHED

    @property
    def mark(self) -> str:
        """One character."""
        return MARKS[self.conclusion]


def judge(
    check: Check, result: CheckResult, guarantees: Guarantees, *, provider: str = "none"
) -> Judgement:
    """Compare a result with what is declared. `provider` is that of the store's server."""
    declared = check.declaration.promised(guarantees)
    optional = check.declaration.optional
    conclusion = _conclusion(result, declared=declared, optional=optional, provider=provider)
    return Judgement(check, result, declared, conclusion)


def _conclusion(
    result: CheckResult, *, declared: bool, optional: bool, provider: str
) -> Conclusion:
    match result.verdict:
        case CheckVerdict.HOLDS:
            return Conclusion.HOLDS if declared else Conclusion.HOLDS_NOT_PROMISED
        case CheckVerdict.FAILS:
            return Conclusion.DECLARED_AND_FAILS if declared else Conclusion.FAILS_NOT_PROMISED
        case CheckVerdict.UNSUPPORTED:
            defect = declared and not optional
            return Conclusion.DECLARED_AND_FAILS if defect else Conclusion.UNSUPPORTED
        case CheckVerdict.NOT_REACHED:
            defect = declared and provider in _MUST_REACH and not result.out_of_reach
            return Conclusion.DECLARED_NOT_REACHED if defect else Conclusion.NOT_REACHED


@dataclass(frozen=True, slots=True)
class Column:
    """One store of the matrix."""

    key: str
    guarantees: Guarantees
    judgements: Mapping[int, Judgement]
    """By the number of the check."""
    provider: str = "none"
    server_version: str = ""
    allows: Durability = Durability.POWER_LOSS
    """The class that data reaches at most where it lies."""

    @property
    def power_losses(self) -> PowerLosses | None:
        """What they left, if a check measured it."""
        found = (each.result.power_losses for each in self.judgements.values())
        return next((each for each in found if each is not None), None)

    @property
    def durability(self) -> Durability | None:
        """As measured; `None` where no power was lost."""
        losses = self.power_losses
        if losses is None:
            return None
        return weakest(losses.durability(self.guarantees.durability), self.allows)

    @property
    def defects(self) -> Sequence[Judgement]:
        """What is declared and does not hold."""
        return [each for each in self.judgements.values() if each.defect]

    @property
    def unproven(self) -> Sequence[Judgement]:
        """What is declared and was not reached, although it could have been."""
        return [each for each in self.judgements.values() if each.unproven]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The results of one run of checks."""

    checks: Sequence[Check]
    columns: Sequence[Column]
    profile: Profile
    seed: int

    @property
    def exit_code(self) -> int:
        """1 if a declared guarantee does not hold, 4 if one could be tested and was not reached."""
        if any(column.defects for column in self.columns):
            return 1
        return 4 if any(column.unproven for column in self.columns) else 0

    def as_json(self) -> dict[str, Any]:
        """`conformance.json`."""
        return {
            "format_version": FORMAT_VERSION,
            "profile": self.profile.name,
            "seconds": self.profile.seconds,
            "seed": self.seed,
            "checks": [check_as_json(check) for check in self.checks],
            "stores": [_column(column) for column in self.columns],
        }


def requirements(checks: Iterable[Check]) -> list[Requirement]:
    """The requirements of these checks, in the order of the matrix."""
    present = {check.requirement for check in checks}
    return [each for each in Requirement if each in present]


def summary(judgements: Iterable[Judgement]) -> Conclusion:
    """The worst conclusion of several checks: `HOLDS` only if all of them hold."""
    present = {each.conclusion for each in judgements}
    return next((each for each in _WORST_FIRST if each in present), Conclusion.NOT_REACHED)


def check_as_json(check: Check) -> dict[str, Any]:
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
        **_durability(column),
        "requirements": {name: summary(each).value for name, each in by_requirement.items()},
        "results": [_cell(each) for each in column.judgements.values()],
    }


def _durability(column: Column) -> dict[str, Any]:
    """As declared and as measured; nothing where no power was lost."""
    losses, measured = column.power_losses, column.durability
    if losses is None or measured is None:
        return {}
    classes = {"declared": column.guarantees.durability.value, "measured": measured.value}
    return {"durability": {**classes, **asdict(losses)}}


def _cell(judgement: Judgement) -> dict[str, Any]:
    result = judgement.result
    return {
        "check": judgement.check.number,
        "verdict": result.verdict.value,
        "declared": judgement.declared,
        "word": judgement.conclusion.value,
        "mark": judgement.mark,
        "defect": judgement.defect,
        "why": result.why,
        "evidence": [asdict(step) for step in result.evidence],
        "provoked": [asdict(each) for each in result.provoked],
        "seconds": result.seconds,
    }
