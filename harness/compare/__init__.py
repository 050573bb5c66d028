"""Two sides held against each other, pair by pair: frames in, verdicts out. Reads no files."""

from __future__ import annotations

from harness.compare.comparing import Comparison, Row, compare
from harness.compare.fingerprint import fingerprint
from harness.compare.margins import parse_margins
from harness.compare.metrics import COUNTED, METRICS, TIMED, Metric, named
from harness.compare.noise import Noise, noise
from harness.compare.refusals import Side, refuse, warnings
from harness.compare.verdicts import Finding, Verdict

__all__ = [
    "COUNTED",
    "METRICS",
    "TIMED",
    "Comparison",
    "Finding",
    "Metric",
    "Noise",
    "Row",
    "Side",
    "Verdict",
    "compare",
    "fingerprint",
    "named",
    "noise",
    "parse_margins",
    "refuse",
    "warnings",
]
