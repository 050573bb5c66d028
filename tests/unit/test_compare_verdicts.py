"""Verdicts on pairs whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy  # loads its statistics where a test asks for them

from harness.analysis.comparison import Verdict, compare, noise, parse_margins
from harness.analysis.comparison.pairing import strays
from harness.domain.errors import BadInput
from tests.made_pairs import sides, trials


def verdict_of(metric, base, candidate):
    (row,) = [row for row in compare([("x", base, candidate)]).rows if row.metric.name == metric]
    return row


def scattered(mean, spread, pairs=10):
    """Log ratios with exactly this mean and standard deviation."""
    logs = np.random.default_rng(7).normal(size=pairs)
    return mean + (logs - logs.mean()) / logs.std(ddof=1) * spread


@pytest.mark.parametrize(
    ("metric", "column", "mean", "expected"),
    [
        ("throughput", "throughput_per_s", 0.3, Verdict.IMPROVED),
        ("throughput", "throughput_per_s", -0.3, Verdict.REGRESSED),
        ("p50", "service_p50_ns", 0.3, Verdict.REGRESSED),
        ("p50", "service_p50_ns", -0.3, Verdict.IMPROVED),
        ("cpu", "server_cpu_per_event_us", 0.3, Verdict.REGRESSED),
    ],
)
def test_a_large_effect_is_told_in_the_right_direction(metric, column, mean, expected):
    row = verdict_of(metric, *sides(scattered(mean, 0.05), column))
    assert row.verdict == expected
    assert row.estimate.ratio == pytest.approx(np.exp(mean))
    assert row.estimate.low < np.exp(mean) < row.estimate.high
    assert row.estimate.least_effect is row.estimate.more_pairs is None


def test_a_significant_effect_inside_the_margin_is_equivalent():
    row = verdict_of("throughput", *sides(scattered(0.02, 0.005)))
    assert row.estimate.p_value <= 0.002
    assert row.verdict == Verdict.EQUIVALENT


def test_a_wide_scatter_is_inconclusive_with_what_it_would_take():
    row = verdict_of("throughput", *sides(scattered(0.0, 0.3)))
    assert row.verdict == Verdict.INCONCLUSIVE
    assert row.estimate.least_effect > 0.2
    assert row.estimate.more_pairs > 100


def test_an_effect_beyond_the_margin_that_is_not_significant_is_inconclusive():
    row = verdict_of("throughput", *sides(scattered(-0.08, 0.2)))
    assert row.verdict == Verdict.INCONCLUSIVE


def test_five_pairs_can_show_nothing_however_large():
    row = verdict_of("throughput", *sides(scattered(-0.7, 0.01, pairs=5)))
    assert row.verdict == Verdict.INCONCLUSIVE
    assert row.estimate.least_effect is None
    assert row.estimate.more_pairs >= 1


def test_the_same_numbers_twice_are_equivalent_in_everything():
    rows = compare([("x", *sides([0.0] * 3))]).rows
    assert {row.verdict for row in rows} == {Verdict.EQUIVALENT}
    assert {row.metric.name for row in rows} == {"throughput", "p50", "cpu"}


@pytest.mark.parametrize(
    ("logs", "expected"),
    [
        ([0.0, 0.0], Verdict.EQUIVALENT),
        ([0.01, -0.015], Verdict.EQUIVALENT),
        ([0.1, 0.1], Verdict.REGRESSED),
        ([-0.1, -0.2], Verdict.IMPROVED),
        ([0.1, 0.01], Verdict.INCONCLUSIVE),
        ([0.1, -0.1], Verdict.INCONCLUSIVE),
    ],
)
def test_counts_are_decided_by_every_pair_saying_the_same(logs, expected):
    base, candidate = sides(logs, "log_bytes_per_event", 700.0)
    assert verdict_of("wal", base, candidate).verdict == expected


@pytest.mark.parametrize(
    ("logs", "expected"),
    [
        ([0.07] + [0.0] * 7, Verdict.INCONCLUSIVE),
        ([0.07] + [0.0] * 8, Verdict.EQUIVALENT),
        ([0.07, -0.07] + [0.0] * 7, Verdict.EQUIVALENT),
        ([0.07, 0.07] + [0.0] * 7, Verdict.INCONCLUSIVE),
        ([0.07, 0.07] + [0.0] * 16, Verdict.EQUIVALENT),
        ([0.0] + [0.15] * 8, Verdict.REGRESSED),
        ([0.0, 0.0] + [0.15] * 7, Verdict.INCONCLUSIVE),
        ([0.15] + [0.0] * 7 + [-0.15], Verdict.EQUIVALENT),
    ],
)
def test_from_nine_pairs_on_one_stray_on_each_side_does_not_decide_a_count(logs, expected):
    """Something else that the server logged in one pair of nine."""
    row = verdict_of("wal", *sides(logs, "log_bytes_per_event", 700.0))
    assert row.verdict == expected
    assert row.estimate.pairs == len(logs)
    if expected == Verdict.EQUIVALENT:
        assert row.estimate.low == row.estimate.ratio == row.estimate.high == pytest.approx(1.0)


def test_the_second_smallest_and_second_largest_of_nine_hold_the_median():
    """The rule's own reason: 95 times of 100 from nine pairs on, and not with eight."""
    held = [1 - 2 * scipy.stats.binom.cdf(1, pairs, 0.5) for pairs in (8, 9)]
    assert held[0] < 0.95 < held[1]
    assert [strays(pairs) for pairs in (2, 8, 9, 17, 18)] == [0, 0, 1, 1, 2]


def test_two_pairs_of_counts_decide_what_two_pairs_of_times_cannot():
    base, candidate = sides([0.15, 0.15], "log_bytes_per_event", 700.0)
    assert verdict_of("wal", base, candidate).verdict == Verdict.REGRESSED


def test_a_count_beside_none_is_a_change():
    base, candidate = sides([0.0, 0.0], "log_bytes_per_event", 700.0)
    row = verdict_of("wal", base.assign(log_bytes_per_event=0.0), candidate)
    assert row.verdict == Verdict.REGRESSED
    assert row.estimate.high is None


@pytest.mark.parametrize(
    ("events", "expected"), [(3_000, Verdict.INCONCLUSIVE), (30_000, Verdict.REGRESSED)]
)
def test_a_table_that_grew_by_a_few_pages_more_has_not_regressed(events, expected):
    """Sixty-four pages are taken at once: 100 bytes an event are nothing in 3,000 events."""
    base, candidate = sides([0.2, 0.2], "data_bytes_per_event", 450.0)
    base, candidate = (each.assign(events=events) for each in (base, candidate))
    assert verdict_of("disk", base, candidate).verdict == expected


def test_an_open_load_is_judged_by_response_time_and_not_by_the_rate_it_was_given():
    base, candidate = sides(scattered(0.3, 0.02), "response_p50_ns", 2e6)
    base, candidate = base.assign(load="open"), candidate.assign(load="open")
    rows = {row.metric.name: row for row in compare([("x", base, candidate)]).rows}
    assert "throughput" not in rows
    assert rows["p50"].verdict == Verdict.REGRESSED
    assert rows["p50"].base == 2e6


def test_a_search_is_judged_by_the_rate_that_it_found():
    base, candidate = sides(scattered(0.3, 0.02))
    base, candidate = (each.assign(load="open", rate_found="search") for each in (base, candidate))
    assert verdict_of("throughput", base, candidate).verdict == Verdict.IMPROVED


def test_each_point_has_rows_of_its_own_and_holm_goes_over_all_of_them():
    one, other = sides(scattered(-0.3, 0.02)), sides(scattered(0.0, 0.02))
    label = {"point": '{"workers": 64}', "point_label": "workers=64"}
    many = [each.assign(**label) for each in other]
    base, candidate = (pd.concat(each) for each in zip(one, many, strict=True))
    rows = [
        row for row in compare([("x", base, candidate)]).rows if row.metric.name == "throughput"
    ]
    assert [row.verdict for row in rows] == [Verdict.REGRESSED, Verdict.EQUIVALENT]
    assert rows[0].estimate.confidence == pytest.approx(1 - 0.05 / 6)


def test_pairs_that_lack_a_half_are_left_out():
    base, candidate = sides(scattered(0.0, 0.02))
    assert verdict_of("throughput", base[2:], candidate[:-1]).estimate.pairs == 7


def test_a_side_with_two_trials_of_one_pair_is_refused():
    base, candidate = sides([0.0, 0.0])
    with pytest.raises(BadInput, match="base: postgres has repetition 1 of a point twice"):
        compare([("x", base.assign(repetition=1), candidate)])


def test_margins_are_read_and_what_is_named_is_gated():
    metrics = {each.name: each for each in parse_margins(["throughput=7% cpu=20%", "wal=0.5%"])}
    assert metrics["throughput"].margin == pytest.approx(0.07)
    assert metrics["wal"].margin == pytest.approx(0.005)
    assert metrics["cpu"].gated
    assert not {each.name: each for each in parse_margins([])}["cpu"].gated


@pytest.mark.parametrize(
    "text", ["speed=5%", "wal", "wal=", "wal=5", "wal=x%", "wal=0%", "wal=100%", "wal=-1%",
             "wal=nan%", "wal=1% wal=2%"],
)  # fmt: skip
def test_a_margin_that_is_none_is_one_line(text):
    with pytest.raises(BadInput) as error:
        parse_margins([text])
    assert str(error.value).startswith("--margin ")
    assert "\n" not in str(error.value)


def test_identical_code_raises_few_alarms_and_a_spread_gives_the_floor():
    base, candidate = sides(scattered(0.0, 0.05, pairs=40))
    found = noise(base, candidate, gates=500)
    floor = found.floor_of("throughput")
    assert floor.spread == pytest.approx(0.05)
    assert floor.floor == pytest.approx(np.expm1(1.833 * 0.05 / 10**0.5), rel=1e-3)
    assert found.alarm_interval[1] < 0.05
    for alarms in (0, 3, 500):
        expected = scipy.stats.binomtest(alarms, found.gates).proportion_ci(method="exact")
        interval = replace(found, alarms=alarms).alarm_interval
        assert interval == pytest.approx((expected.low, expected.high))


def test_pairs_that_do_not_change_sides_at_random_would_alarm():
    """The simulated gates can fail: a count that jumps by more than its margin does so."""
    base, candidate = sides([0.1, 0.1, 0.1], "log_bytes_per_event", 700.0)
    found = noise(base, candidate, gate_pairs=2, gates=200)
    assert 30 < found.alarms < 70
    assert found.floor_of("wal").floor == pytest.approx(np.expm1(0.1))


def test_a_stray_pair_is_no_floor_for_a_gate_that_leaves_strays_out():
    base, candidate = sides([0.1] + [0.01] * 19, "log_bytes_per_event", 700.0)
    for gate_pairs, floor in ((2, 0.1), (8, 0.1), (9, 0.01), (10, 0.01)):
        found = noise(base, candidate, gate_pairs=gate_pairs, gates=10).floor_of("wal")
        assert found.floor == pytest.approx(np.expm1(floor))
        assert found.furthest == pytest.approx(np.expm1(0.1))


@pytest.mark.parametrize(("effect", "least"), [(1.5, 0.8)])
def test_ten_pairs_show_a_slowdown_of_one_and_a_half_deviations(effect, least):
    rng, spread = np.random.default_rng(5), 0.10
    found = 0
    for _ in range(40):
        base = trials("base")
        logs = rng.normal(-effect * spread, spread, 10)
        candidate = trials("candidate", throughput_per_s=1000 * np.exp(logs))
        found += verdict_of("throughput", base, candidate).verdict == Verdict.REGRESSED
    assert found / 40 >= least
