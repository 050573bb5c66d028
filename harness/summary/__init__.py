"""Frames in, frames out: what a run's trials and samples say. Reads no files, draws nothing."""

from __future__ import annotations

from harness.percentiles import percentiles
from harness.summary.absent import not_run
from harness.summary.contention import (
    contended_points,
    contention,
    contention_groups,
    has_contention,
)
from harness.summary.costs import COSTS, costs
from harness.summary.curves import SamplesOf, latency_curves
from harness.summary.decision import Asked, answer, candidates, changes
from harness.summary.delivery import delivery, has_deliveries
from harness.summary.flags import by_flag, explanation, listed, merged, run_flags
from harness.summary.headline import headlines, remarks
from harness.summary.latency import latency_curve, stored_curve, tail, times_ns
from harness.summary.leads import leads, over_points, ranking_by_pairs
from harness.summary.matrix import matrix
from harness.summary.operations import heat, operations
from harness.summary.over_time import has_rate_over_time, rate_over_time
from harness.summary.ranking import (
    GROUP,
    POINT,
    geometric_mean,
    overall,
    ranking,
    that_count,
    unranked_reason,
)
from harness.summary.requirements import kept, requirements, strongest_first
from harness.summary.scaling import scaling, scaling_groups
from harness.summary.searched import searched_rates
from harness.summary.sides import candidates_of_pairs, shown, sided

__all__ = [
    "COSTS",
    "GROUP",
    "POINT",
    "Asked",
    "SamplesOf",
    "answer",
    "by_flag",
    "candidates",
    "candidates_of_pairs",
    "changes",
    "contended_points",
    "contention",
    "contention_groups",
    "costs",
    "delivery",
    "explanation",
    "geometric_mean",
    "has_contention",
    "has_deliveries",
    "has_rate_over_time",
    "headlines",
    "heat",
    "kept",
    "latency_curve",
    "latency_curves",
    "leads",
    "listed",
    "matrix",
    "merged",
    "not_run",
    "operations",
    "over_points",
    "overall",
    "percentiles",
    "ranking",
    "ranking_by_pairs",
    "rate_over_time",
    "remarks",
    "requirements",
    "run_flags",
    "scaling",
    "scaling_groups",
    "searched_rates",
    "shown",
    "sided",
    "stored_curve",
    "strongest_first",
    "tail",
    "that_count",
    "times_ns",
    "unranked_reason",
]
