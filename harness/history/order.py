"""Checks of order: the global read follows each stream, and its positions only grow."""

from __future__ import annotations

import numpy as np

from harness.history.evidence import Evidence, steps_back
from harness.history.findings import Findings
from harness.history.violations import Kind


def stream_order(evidence: Evidence, findings: Findings) -> None:
    """The global read never goes back in a stream."""
    log = evidence.log
    back = steps_back(log.stream, log.version)
    findings.add_rows(
        Kind.INVERTED, log, back, "the global read has it behind a later version of its stream"
    )


def positions(evidence: Evidence, findings: Findings) -> None:
    """Each event's position lies behind the one read before it."""
    log = evidence.log
    findings.add_rows(
        Kind.POSITION_NOT_INCREASING,
        log,
        np.flatnonzero(~log.ascending),
        "its position does not lie behind the one read before it",
    )
