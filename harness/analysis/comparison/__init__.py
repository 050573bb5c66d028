"""Compares two sides pair by pair: frames in, verdicts out.

Reads one file, the noise floors of a machine.
"""

from __future__ import annotations

from harness.analysis.comparison.comparing import Comparison, Estimate, Row, Verdict, compare
from harness.analysis.comparison.gating import (
    FAILED,
    PASSED,
    UNDECIDED,
    Answer,
    answer_of,
    gated_metrics,
    refuse_unmeasured,
)
from harness.analysis.comparison.metrics import (
    COUNTED,
    METRICS,
    RATIOS,
    SHARES,
    TIMED,
    Metric,
    margins_given,
    named,
    parse_margins,
)
from harness.analysis.comparison.noise_floor import Floor, Noise, floor_of, noise
from harness.analysis.comparison.noise_floor_file import (
    Known,
    recall,
    refuse_below_floor,
    remember,
)
from harness.analysis.comparison.pairing import strays, unpaired
from harness.analysis.comparison.refusals import (
    Side,
    fingerprint,
    mixed_durability,
    refuse,
    warnings,
)
from harness.analysis.comparison.statistics import pairs_for, pairs_needed

__all__ = [
    "COUNTED",
    "FAILED",
    "METRICS",
    "PASSED",
    "RATIOS",
    "SHARES",
    "TIMED",
    "UNDECIDED",
    "Answer",
    "Comparison",
    "Estimate",
    "Floor",
    "Known",
    "Metric",
    "Noise",
    "Row",
    "Side",
    "Verdict",
    "answer_of",
    "compare",
    "fingerprint",
    "floor_of",
    "gated_metrics",
    "margins_given",
    "mixed_durability",
    "named",
    "noise",
    "pairs_for",
    "pairs_needed",
    "parse_margins",
    "recall",
    "refuse",
    "refuse_below_floor",
    "refuse_unmeasured",
    "remember",
    "strays",
    "unpaired",
    "warnings",
]
