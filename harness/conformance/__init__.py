"""What a store really keeps: fifty black-box checks, declared against measured."""

from __future__ import annotations

from harness.conformance.check import Check, Finding, Requirement, Step, Verdict
from harness.conformance.judging import Judgement, judge
from harness.conformance.profiles import FAST, FULL, Profile
from harness.conformance.registry import all_checks, numbered
from harness.conformance.running import Subject, measure

__all__ = [
    "FAST",
    "FULL",
    "Check",
    "Finding",
    "Judgement",
    "Profile",
    "Requirement",
    "Step",
    "Subject",
    "Verdict",
    "all_checks",
    "judge",
    "measure",
    "numbered",
]
