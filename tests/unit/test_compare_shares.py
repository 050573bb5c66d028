"""Failures and conflicts are compared and gated like times and counts."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.comparison import (
    FAILED,
    PASSED,
    UNDECIDED,
    Verdict,
    answer_of,
    compare,
    gated_metrics,
    noise,
)
from tests.made_pairs import trials

SCHEDULED = 1000


def side(name, pairs=4, **counts):
    """Trials with these counts of 1,000 operations and, so that a gate has one, log bytes."""
    failures = dict.fromkeys(("refused", "unknown", "timeout", "dropped", "unfinished"), 0)
    told = failures | {"conflicts": 0, "scheduled": SCHEDULED, "log_bytes_per_event": 300.0}
    return trials(name, pairs=pairs, **(told | counts))


def compared(counts, base=None, stored=False):
    pairs = max((len(each) for each in counts.values() if isinstance(each, list)), default=4)
    sides = side("base", pairs, **(base or {})), side("candidate", pairs, **counts)
    return compare([("x", *sides)], gated_metrics((), stored=stored))


def row_of(metric, comparison):
    (row,) = [row for row in comparison.rows if row.metric.name == metric]
    return row


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize(
    ("column", "metric"),
    [("refused", "refused"), ("unknown", "unknown"), ("timeout", "timeouts"),
     ("dropped", "dropped"), ("unfinished", "dropped")],
)  # fmt: skip
def test_a_candidate_that_fails_more_fails_the_gate(column, metric, stored):
    comparison = compared({column: 400}, stored=stored)
    row = row_of(metric, comparison)
    assert (row.verdict, row.base, row.candidate) == (Verdict.REGRESSED, 0.0, 0.4)
    answer = answer_of(comparison)
    assert answer.verdict == FAILED
    assert answer.regressed == (f"x, closed, 8 workers: {row.metric.label} +40 pp",)


@pytest.mark.parametrize(
    ("refused", "verdict"),
    [
        ([0, 0, 0, 0], Verdict.EQUIVALENT),
        ([10, 5, 0, 10], Verdict.EQUIVALENT),
        ([400, 0, 0, 0], Verdict.REGRESSED),
        ([30, 0, 0, 0], Verdict.INCONCLUSIVE),
    ],
)
def test_one_bad_trial_counts_as_the_share_that_it_is(refused, verdict):
    assert row_of("refused", compared({"refused": refused})).verdict == verdict


def test_no_pair_of_ten_is_a_stray():
    assert row_of("refused", compared({"refused": [400] + [0] * 9})).verdict == Verdict.REGRESSED


def test_fewer_failures_are_better_and_mixed_ones_undecided():
    assert row_of("unknown", compared({}, base={"unknown": 300})).verdict == Verdict.IMPROVED
    mixed = compared({"unknown": [0, 300]}, base={"unknown": [100, 0]})
    assert row_of("unknown", mixed).verdict == Verdict.INCONCLUSIVE
    assert answer_of(mixed).verdict == UNDECIDED


def test_conflicts_are_gated_between_two_sides_and_shown_against_a_stored_one():
    for stored, verdict in ((False, FAILED), (True, PASSED)):
        comparison = compared({"conflicts": 200}, stored=stored)
        assert row_of("conflicts", comparison).verdict == Verdict.REGRESSED
        assert answer_of(comparison).verdict == verdict
    (asked,) = [each for each in gated_metrics(("conflicts=3%",), stored=True)
                if each.name == "conflicts"]  # fmt: skip
    assert (asked.gated, asked.margin) == (True, 0.03)


def test_a_margin_is_points_and_not_a_share_of_the_base():
    comparison = compared({"conflicts": 110}, base={"conflicts": 80})
    row = row_of("conflicts", comparison)
    assert row.verdict == Verdict.EQUIVALENT
    assert row.shown_change == "+3.0 pp"


def test_shares_alone_show_nothing_of_a_store_that_counts_nothing():
    comparison = compared(
        {"conflicts": 5, "log_bytes_per_event": np.nan},
        base={"conflicts": 5, "log_bytes_per_event": np.nan}, stored=True,
    )  # fmt: skip
    assert comparison.untold() == ("x",)


def test_the_noise_of_a_share_is_its_furthest_difference():
    base, candidate = side("base", conflicts=[10, 20, 30, 40]), side("candidate", conflicts=20)
    floor = noise(base, candidate, gate_pairs=4).floor_of("conflicts")
    assert floor.furthest == pytest.approx(0.02)
    assert floor.floor == pytest.approx(0.02)
