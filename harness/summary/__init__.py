"""Frames in, frames out: what a run's trials and samples say. Reads no files, draws nothing."""

from __future__ import annotations

from harness.percentiles import percentiles
from harness.summary.contention import contention, contention_groups, has_contention
from harness.summary.costs import COSTS, costs
from harness.summary.curves import latency_curves
from harness.summary.delivery import delivery, has_deliveries
from harness.summary.flags import by_flag, explanation, listed, merged, run_flags
from harness.summary.headline import headlines, remarks
from harness.summary.latency import SAMPLE_COLUMNS, latency_curve, stored_curve, tail, times_ns
from harness.summary.ranking import (
    GROUP,
    POINT,
    geometric_mean,
    overall,
    ranking,
    unranked_reason,
)
from harness.summary.requirements import kept, requirements

__all__ = [
    "COSTS",
    "GROUP",
    "POINT",
    "SAMPLE_COLUMNS",
    "by_flag",
    "contention",
    "contention_groups",
    "costs",
    "delivery",
    "explanation",
    "geometric_mean",
    "has_contention",
    "has_deliveries",
    "headlines",
    "kept",
    "latency_curve",
    "latency_curves",
    "listed",
    "merged",
    "overall",
    "percentiles",
    "ranking",
    "remarks",
    "requirements",
    "run_flags",
    "stored_curve",
    "tail",
    "times_ns",
    "unranked_reason",
]
