"""Two sides held against each other, pair by pair: frames in, verdicts out. Reads no files."""

from __future__ import annotations

from harness.compare.comparing import Comparison, Row, compare
from harness.compare.fingerprint import fingerprint
from harness.compare.intervals import pairs_needed
from harness.compare.margins import margins_given, parse_margins
from harness.compare.metrics import COUNTED, METRICS, TIMED, Metric, named
from harness.compare.noise import Noise, floor_of, noise
from harness.compare.pairing import unpaired
from harness.compare.refusals import Side, mixed_durability, refuse, warnings
from harness.compare.sign_flip import pairs_for
from harness.compare.strays import strays
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
    "floor_of",
    "margins_given",
    "mixed_durability",
    "named",
    "noise",
    "pairs_for",
    "pairs_needed",
    "parse_margins",
    "refuse",
    "strays",
    "unpaired",
    "warnings",
]
