"""Which guarantees a store really keeps: 63 black-box checks, declared against measured."""

from __future__ import annotations

from harness.conformance.checks import all_checks, numbered
from harness.conformance.framework.check import Check, Requirement
from harness.conformance.framework.check_context import FAST, FULL, PROFILES, Profile
from harness.conformance.framework.check_result import CheckResult, CheckVerdict, Step
from harness.conformance.framework.matrix import (
    MARKS,
    Column,
    Conclusion,
    Judgement,
    Matrix,
    check_as_json,
    judge,
    requirements,
    summary,
)
from harness.conformance.framework.running import OnResult, StoreUnderTest, measure

__all__ = [
    "FAST",
    "FULL",
    "MARKS",
    "PROFILES",
    "Check",
    "CheckResult",
    "CheckVerdict",
    "Column",
    "Conclusion",
    "Judgement",
    "Matrix",
    "OnResult",
    "Profile",
    "Requirement",
    "Step",
    "StoreUnderTest",
    "all_checks",
    "check_as_json",
    "judge",
    "measure",
    "numbered",
    "requirements",
    "summary",
]
