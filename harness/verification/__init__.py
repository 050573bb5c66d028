"""Checks the events that a store returns against those that it acknowledged.

`verify` reads a store back and applies every rule; `check` applies them to columns
that are already read. `declared` tells whether a violation breaks a declared guarantee.

    columns → history (sorted by event and by place, in parts) → rules → violations

A part fits into memory whatever the length of the history, and has all that its rules need.
"""

from harness.verification.columns import (
    FOREIGN,
    Appends,
    Deliveries,
    Log,
    StreamReads,
)
from harness.verification.reading import Reader
from harness.verification.staleness import Acknowledgements, HeadReads, Readings
from harness.verification.verifying import check, verify
from harness.verification.violations import PROMISES, Kind, Verification, Violation, declared

__all__ = [
    "FOREIGN",
    "PROMISES",
    "Acknowledgements",
    "Appends",
    "Deliveries",
    "HeadReads",
    "Kind",
    "Log",
    "Reader",
    "Readings",
    "StreamReads",
    "Verification",
    "Violation",
    "check",
    "declared",
    "verify",
]
