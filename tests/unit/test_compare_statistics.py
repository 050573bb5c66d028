"""The numbers behind a verdict, held against scipy's and against counting by hand."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import scipy  # loads its statistics where a test asks for them
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.comparison import statistics as sign_flips
from harness.analysis.comparison.pairing import log_ratios
from harness.analysis.comparison.statistics import (
    holm,
    least_effect,
    least_p,
    pairs_for,
    pairs_needed,
    pairs_to_decide,
    sign_flip,
)
from harness.analysis.paired import t_interval

LOGS = st.lists(st.integers(-40, 40).map(lambda n: n / 100), min_size=1, max_size=9)


@given(LOGS)
@settings(deadline=None)
def test_the_sign_flip_counts_every_swap(logs):
    seen = abs(sum(logs))
    flips = [
        abs(sum(sign * log for sign, log in zip(signs, logs, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(logs))
    ]
    expected = sum(flip >= seen - 1e-9 for flip in flips) / len(flips)
    assert sign_flip(np.array(logs)) == pytest.approx(expected)


@pytest.mark.parametrize("pairs", [3, 8, 13])
def test_the_sign_flip_agrees_with_scipys_permutation_test(pairs):
    logs = np.random.default_rng(pairs).normal(0.03, 0.05, pairs)
    exact = scipy.stats.permutation_test(
        (logs,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert sign_flip(logs) == pytest.approx(exact.pvalue)


def test_pairs_that_all_agree_give_the_smallest_p_value_that_there_is():
    assert sign_flip(np.full(10, 0.1)) == pytest.approx(2 / 2**10) == least_p(10)
    assert sign_flip(np.zeros(10)) == 1.0


def test_thirty_pairs_are_counted_exactly():
    logs = np.full(30, 0.01)
    logs[0] = -0.01
    assert sign_flip(logs) == pytest.approx(2 * (1 + 30) / 2**30)


def test_more_pairs_than_can_be_counted_are_drawn_and_the_same_each_time():
    logs = np.random.default_rng(1).normal(0.0, 0.05, sign_flips.EXACT_MAX + 10)
    p_value = sign_flip(logs)
    assert p_value == sign_flip(logs)
    assert p_value == pytest.approx(scipy.stats.ttest_1samp(logs, 0).pvalue, abs=0.03)


@pytest.mark.parametrize(("level", "pairs"), [(0.05, 6), (0.05 / 3, 7), (0.002, 10), (0.5, 2)])
def test_so_many_pairs_are_the_fewest_that_can_be_significant(level, pairs):
    assert pairs_for(level) == pairs
    assert least_p(pairs) <= level < least_p(pairs - 1)


def test_the_interval_is_scipys():
    logs = np.random.default_rng(2).normal(0.1, 0.05, 12)
    expected = scipy.stats.ttest_1samp(logs, 0).confidence_interval(0.98)
    assert t_interval(logs, 0.02) == pytest.approx((expected.low, expected.high))


def test_one_pair_has_no_interval():
    assert all(map(math.isnan, t_interval(np.array([0.1]), 0.05)))


def test_holm_holds_the_smallest_to_the_strictest_level():
    assert holm([0.001, 0.04, 0.02]) == [
        (pytest.approx(0.05 / 3), True),
        (pytest.approx(0.05), True),
        (pytest.approx(0.05 / 2), True),
    ]


def test_holm_stops_at_the_first_that_is_not_significant():
    assert holm([0.02, 0.03, 0.001], alpha=0.03) == [
        (pytest.approx(0.015), False),
        (pytest.approx(0.015), False),
        (pytest.approx(0.01), True),
    ]


@pytest.mark.parametrize(
    ("pairs", "level"), [(6, 0.05), (7, 0.05), (10, 0.05), (7, 0.05 / 3), (8, 0.05 / 3)]
)
def test_the_least_effect_would_have_been_shown_four_times_of_five(pairs, level):
    rng = np.random.default_rng(3)
    logs = rng.normal(0, 0.05, pairs)
    logs = (logs - logs.mean()) / logs.std(ddof=1) * 0.05
    effect = least_effect(logs, level, math.log1p(0.01))
    shown = [sign_flip(tried) <= level for tried in rng.normal(effect, 0.05, (1_500, pairs))]
    assert 0.76 < np.mean(shown) < 0.86


def test_too_few_pairs_could_have_shown_nothing():
    assert least_effect(np.array([0.1, 0.2, 0.1]), 0.05, 0.05) is None


def test_the_pairs_needed_tell_the_margin_from_nothing():
    margin, spread = math.log1p(0.05), 0.05
    pairs = pairs_needed(spread, 0.05, margin)
    rng = np.random.default_rng(4)
    same, changed = (rng.normal(mean, spread, (4_000, pairs)) for mean in (0.0, margin))
    reach = scipy.stats.t.ppf(0.95, pairs - 1) * same.std(axis=1, ddof=1) / math.sqrt(pairs)
    assert (np.abs(same.mean(axis=1)) + reach < margin).mean() > 0.75
    assert np.mean([sign_flip(logs) <= 0.05 for logs in changed[:1_500]]) > 0.77


def test_a_larger_effect_needs_fewer_pairs_and_one_at_the_margin_is_never_decided():
    margin = math.log1p(0.05)
    assert pairs_to_decide(0.2, 0.1, 0.05, margin) < pairs_to_decide(0.1, 0.1, 0.05, margin)
    assert pairs_to_decide(margin, 0.1, 0.05, margin) is None
    assert pairs_needed(5.0, 0.05, margin) is None


def test_two_zeros_are_alike_and_something_beside_nothing_is_infinitely_more():
    found = log_ratios([0.0, 0.0, 2.0, 1.0], [0.0, 3.0, 0.0, math.e])
    assert list(found) == [0.0, math.inf, -math.inf, pytest.approx(1.0)]


def test_no_command_that_compares_waits_for_scipys_distributions():
    """They take a second to import, which is longer than the comparison."""
    code = (
        "import sys, harness.cli.pairs\n"
        "from harness.analysis.paired import t_interval\n"
        "t_interval([0.1, 0.2], 0.05)\n"
        "print('scipy.special' in sys.modules, 'scipy.stats' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
