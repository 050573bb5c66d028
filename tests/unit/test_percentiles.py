"""Percentiles are values that occurred, and count who never got an answer."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.percentiles import percentiles, rank, stored_time, values_at
from harness.analysis.stored_times import median_time


def test_between_two_modes_there_is_no_time_that_nobody_saw():
    values = np.array([1_000] * 500 + [9_000] * 500)
    assert percentiles(values, [50]) == [1_000.0]
    assert percentiles(np.append(values, 9_000), [50]) == [9_000.0]


@pytest.mark.parametrize(
    ("count", "shown"), [(99_999, False), (100_000, True), (100_001, True), (1_000_000, True)]
)
def test_exactly_a_hundred_beyond_are_enough(count, shown):
    (p999,) = percentiles(np.arange(count), [99.9])
    assert (p999 is not None) == shown


@pytest.mark.parametrize(("q", "count"), [(50, 200), (90, 1_000), (95, 2_000), (99, 10_000)])
def test_the_edge_is_whole_for_every_percentile(q, count):
    assert percentiles(np.arange(count - 1), [q]) == [None]
    assert percentiles(np.arange(count), [q]) == [count * q // 100 - 1]


@given(
    st.lists(st.integers(-5, 10**12), min_size=1, max_size=50),
    st.sampled_from([0, 1, 50, 90, 95, 99, 99.9, 99.99, 99.999, 100]),
)
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(values, q):
    (found,) = values_at(np.array(values), [q])
    assert found in values
    assert sum(each <= found for each in values) * 100 >= q * len(values) * (1 - 1e-12)
    assert found == min(values) or sum(each < found for each in values) * 100 < q * len(values)


def test_who_got_no_answer_is_slower_than_any():
    values = np.arange(68_000)
    assert percentiles(values, [50, 90, 99], unanswered=32_000) == [49_999.0, math.inf, math.inf]
    assert percentiles(values, [50], unanswered=0) == [33_999.0]
    assert percentiles(values[:10], [50, 99], unanswered=10_000) == [math.inf, math.inf]
    assert percentiles(values[:10], [99], unanswered=10) == [None]


def test_values_stay_in_their_order_unless_they_may_not():
    values = np.arange(1_000)[::-1].copy()
    percentiles(values, [50])
    assert list(values[:3]) == [999, 998, 997]


@pytest.mark.parametrize("high", [1, 3, 1 << 17, (1 << 32) - 1])
def test_percentiles_of_very_many_values_are_those_of_a_sorted_copy(high):
    rng = np.random.default_rng(high)
    values = rng.integers(0, high, (1 << 20) + 1, np.uint32, endpoint=True)
    before, wanted = values.copy(), [0, 1, 50, 90, 99, 99.9]
    sorted_values = np.sort(values)
    expected = [float(sorted_values[rank(q, len(values))]) for q in wanted]
    assert values_at(values, wanted) == percentiles(values, wanted) == expected
    assert np.array_equal(values, before)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"response_p99_ns": 5.0}, 5.0),
        ({"ok": 68_000, "response_count": 100_000}, math.inf),
        ({"ok": 99_000, "conflict": 1_000, "response_count": 100_000}, math.nan),
        ({"ok": 20, "response_count": 30}, math.nan),
        ({"ok": 20, "response_count": None}, math.nan),
    ],
)
def test_a_run_folder_leaves_an_infinite_time_empty_and_it_is_known_again(row, expected):
    bare = {"response_p99_ns": None, "response_count": None, "ok": 0, "conflict": 0}
    found = stored_time(bare | row, "response", "p99")
    assert found == pytest.approx(expected, nan_ok=True)


def test_the_median_of_repetitions_is_one_of_them():
    assert median_time(pd.Series([9.0, 1.0])) == 9.0
    assert median_time(pd.Series([9.0, 1.0, 3.0])) == 3.0
    assert median_time(pd.Series([9.0, math.inf, math.inf])) == math.inf
    assert math.isnan(median_time(pd.Series([9.0, None])))
    assert math.isnan(median_time(pd.Series([], dtype=float)))
