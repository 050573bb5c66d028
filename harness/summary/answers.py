"""Pass, fail or unknown, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["pass", "fail", "unknown"]
PASS: Status = "pass"  # noqa: S105 — the word, not a secret
FAIL: Status = "fail"
UNKNOWN: Status = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """One store's answer to one requirement. The reason is for people."""

    status: Status
    reason: str
