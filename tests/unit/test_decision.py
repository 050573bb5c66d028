"""The answer and what would change it: sentences that the numbers of a run must bear out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy  # loads its statistics where a test asks for them

from harness import results
from harness.analysis import summary
from harness.analysis.summary import Asked
from harness.analysis.summary.headline import ways_that_differ
from harness.analysis.summary.ranking import ratio_interval
from harness.domain import formatting
from harness.domain.flags import Flag, FlagCode, dumped
from harness.render import figures
from tests.made_pairs import trials as pairs
from tests.made_run import MEMORY, POSTGRES, SQLITE, Made, MadeStore, made_run

NATIVE = {"guarantees": json.dumps({"occ": "native"})}
NONE = {"guarantees": json.dumps({"occ": "none"})}


def stores(*, memory=NATIVE, sqlite=NATIVE, postgres=NATIVE):
    return (
        replace(MEMORY, row=memory), replace(SQLITE, row=sqlite), replace(POSTGRES, row=postgres),
    )  # fmt: skip


def trials(tmp_path, made: Made | None = None):
    made = made or Made(stores(), keep_samples=False, operations=2_000)
    return results.load(made_run(tmp_path, made)).trials


def test_without_requirements_all_are_ranked_the_most_durable_first(tmp_path):
    told = summary.answer(trials(tmp_path), Asked({}))
    assert told[0].startswith("Power-loss safe as configured: postgres led with")
    assert "sqlite follows at" in told[0]
    assert told[1].startswith("Memory: only memory was ranked")
    assert summary.changes(trials(tmp_path / "again"), Asked({}))[0].startswith(
        "The scenario requires"
    )


def test_a_store_that_fails_is_named_and_not_ranked(tmp_path):
    found = trials(tmp_path, Made(stores(postgres=NONE), keep_samples=False, operations=2_000))
    told = summary.answer(found, Asked({"occ": "native"}))
    assert told[0] == "Keeping everything that is required: memory, sqlite."
    assert told[1] == "Failing: postgres: “occ: native” (declares none)."
    assert any("only sqlite was ranked" in line for line in told)
    tables = list(figures.answer_tables(found, Asked({"occ": "native"})))
    assert not any("postgres" in str(table) for table in tables)


def test_stores_that_fail_the_same_are_one_line_with_the_reason_and_what_else_they_fail(tmp_path):
    made = Made(stores(memory=NONE, postgres=NONE), keep_samples=False, operations=500)
    required = {"occ": "native", "durability": "power-loss"}
    told = summary.answer(trials(tmp_path, made), Asked(required))
    assert told[1:3] == [
        "Failing: memory: “occ: native” (declares none); also “durability: power-loss”.",
        "Failing: postgres: “occ: native” (declares none).",
    ]
    told = summary.answer(trials(tmp_path / "occ", made), Asked({"occ": "native"}))
    assert told[1] == "Failing: memory, postgres: “occ: native” (declares none)."


def test_a_run_without_checks_says_how_to_have_them(tmp_path):
    made = trials(tmp_path)
    (told,) = [line for line in summary.changes(made, Asked({})) if "not checked" in line]
    assert told.endswith("eslab run … --set verify=conformance.")
    assert "eslab run … --set verify=conformance" in repr(figures.kept({}))
    checked = pd.DataFrame({"key": ["memory"], "mark": ["✓"], "defect": [False],
                            "declared_by": ["occ"]})  # fmt: skip
    assert not [each for each in summary.changes(made, Asked({}, checked)) if "checked" in each]


def test_the_one_requirement_that_keeps_a_store_out_is_told(tmp_path):
    found = trials(tmp_path, Made(stores(postgres=NONE), keep_samples=False, operations=2_000))
    (told,) = [line for line in summary.changes(found, Asked({"occ": "native"})) if "Only" in line]
    rates = found.loc[found["key"] == "postgres", "throughput_per_s"]
    reached = formatting.rate(rates.median())
    assert told == f"Only “occ: native” keeps postgres out, which reached {reached} here."


def test_what_nobody_knows_is_no_pass_and_is_told_once_for_all(tmp_path):
    require = {"occ": "native", "at_rate_per_s": 2_000.0, "p99_ms": 50.0}
    found = trials(tmp_path)
    told = summary.answer(found, Asked(require))
    assert told[0] == "No store is known to keep everything that is required."
    assert "postgres (keeps up with 2,000/s, p99 ≤ 50 ms at 2,000/s)" in told[1]
    said = summary.changes(found, Asked(require))
    assert "keeps up with 2,000/s: not known for memory, sqlite, postgres." in said


def test_few_repetitions_and_a_generator_that_was_the_limit_are_told(tmp_path):
    flagged = replace(MEMORY, row={"flags": dumped([Flag(FlagCode.GENERATOR_BOUND)])})
    found = trials(tmp_path, Made((flagged, SQLITE), keep_samples=False, operations=2_000))
    told = " ".join(summary.changes(found, Asked({})))
    assert "The load generator was the limit for memory" in told
    by_driver = [Flag(FlagCode.GENERATOR_BOUND), Flag(FlagCode.DRIVER_BOUND, {"share": 0.8})]
    flagged = replace(POSTGRES, row={"flags": dumped(by_driver)})
    found = trials(tmp_path, Made((flagged, SQLITE), keep_samples=False, operations=2_000))
    told = " ".join(summary.changes(found, Asked({})))
    assert "The driver was the limit for postgres" in told
    assert "load generator" not in told
    assert "3 repetitions show only large differences" in told


def test_designs_that_differ_in_round_trips_are_told_of_a_network(tmp_path):
    found = trials(tmp_path)
    trips = found["key"].map({"postgres": 1.0, "sqlite": 3.0})
    told = " ".join(summary.changes(found.assign(round_trips_per_event=trips), Asked({})))
    assert "postgres 1.0, sqlite 3.0" in told
    assert "path.rtt_ms" in told


def ratios(base, other):
    base = base.assign(key="a", emulator="", provider="", scheduled=1000)
    other = other.assign(key="b", emulator="", provider="", scheduled=1000)
    return summary.relative_speed(pd.concat([base, other], ignore_index=True))


def test_the_interval_of_a_ratio_is_the_paired_t_of_its_logarithms():
    rng = np.random.default_rng(7)
    logs = rng.normal(np.log(0.5), 0.1, 8)
    ratio, low, high = ratio_interval(logs, 0.05)
    expected = scipy.stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert ratio == pytest.approx(np.exp(logs.mean()))
    assert (low, high) == pytest.approx((np.exp(expected.low), np.exp(expected.high)))
    assert np.isnan(ratio_interval(logs[:1], 0.05)[1:]).all()
    assert np.isnan(ratio_interval(logs[:0], 0.05)).all()


def test_pairs_take_away_what_hits_both_sides():
    """A slow minute of the machine halves both: their ratio stays, and its interval is narrow."""
    minutes = np.array([1.0, 0.5, 1.0, 0.5, 1.0])
    fast = pairs(pairs=5, throughput_per_s=1000.0 * minutes)
    slow = pairs(pairs=5, throughput_per_s=800.0 * minutes * [1, 1.01, 0.99, 1, 1])
    (found,) = [row for _, row in ratios(fast, slow).iterrows()]
    assert found["key"] == "b"
    assert found["ratio"] == pytest.approx(0.8, rel=0.01)
    assert 0.78 < found["low"] < found["high"] < 0.82


def test_a_pair_is_two_trials_of_one_repetition_and_a_lone_trial_has_none():
    minutes = np.array([1.0, 0.1, 0.5, 0.2, 0.9])
    fast = pairs(pairs=5, throughput_per_s=1000.0 * minutes)
    slow = pairs(pairs=5, throughput_per_s=800.0 * minutes).iloc[1:]
    (found,) = [row for _, row in ratios(fast, slow).iterrows()]
    assert found["pairs"] == 4
    assert found["ratio"] == pytest.approx(0.8)


def test_more_stores_make_each_interval_wider():
    rng = np.random.default_rng(3)
    frames = [
        pairs(pairs=5, throughput_per_s=rng.normal(level, 30, 5)).assign(
            key=f"store-{level}", emulator="", provider="", scheduled=1000
        )
        for level in (1000, 800, 700, 600)
    ]
    two = summary.relative_speed(pd.concat(frames[:2], ignore_index=True)).iloc[0]
    four = summary.relative_speed(pd.concat(frames, ignore_index=True)).iloc[0]
    assert two["key"] == four["key"] == "store-800"
    assert four["high"] - four["low"] > two["high"] - two["low"]


def test_an_interval_that_reaches_the_best_is_no_lead():
    wobbling = 1000.0 * np.array([1, 0.7, 1.3, 0.8, 1.2])
    close = pairs(pairs=5, throughput_per_s=wobbling).assign(key="b")
    best = pairs(pairs=5, throughput_per_s=1050.0).assign(key="a")
    both = pd.concat([best, close], ignore_index=True).assign(
        emulator="", provider="", scheduled=1000, repetition=[*range(1, 6), *range(1, 6)]
    )
    told = summary.changes(both, Asked({}))
    assert any(line.startswith("This run does not tell a from b") for line in told)


def test_the_sentence_and_the_table_tell_the_same_ratio():
    fast = pairs(pairs=3, throughput_per_s=[1000.0, 1000.0, 4000.0]).assign(key="a")
    slow = pairs(pairs=3, throughput_per_s=[900.0, 800.0, 400.0]).assign(key="b")
    both = pd.concat([fast, slow], ignore_index=True)
    both = both.assign(emulator="", provider="", scheduled=1000)
    (table,) = figures.answer_tables(both, Asked({}))
    assert table.rows[1][4].startswith("0.42 ×")
    assert "b follows at 0.42 ×" in summary.answer(both, Asked({}))[0]


def test_one_repetition_gives_a_ratio_without_an_interval(tmp_path):
    made = Made((POSTGRES, SQLITE), repetitions=1, keep_samples=False, operations=500)
    (table,) = figures.answer_tables(trials(tmp_path, made), Asked({}))
    assert "×" in table.rows[1][4]
    assert "(" not in table.rows[1][4]


def test_several_points_are_summed_up_as_who_led_where(tmp_path):
    points = [{"streams.count": count} for count in (1, 16)]
    made = Made((POSTGRES, SQLITE), points, keep_samples=False, operations=500)
    (table,) = figures.answer_tables(trials(tmp_path, made), Asked({}))
    assert [row[:3] for row in table.rows] == [
        ("postgres", "2", "2 of 2"), ("sqlite", "0", "2 of 2"),
    ]  # fmt: skip


def over(*, fast, slow, points=3):
    """Two stores at several points, where `fast` and `slow` say what each repetition reached."""
    frames = []
    for place in range(points):
        at = {"point": json.dumps({"n": place}), "point_label": f"n={place}", "emulator": "",
              "provider": "", "scheduled": 1000}  # fmt: skip
        for key, values in (("a", fast), ("b", slow)):
            found = pairs(pairs=3, throughput_per_s=np.array(values(place)))
            frames.append(found.assign(key=key, **at))
    return pd.concat(frames, ignore_index=True)


def test_over_several_points_the_interval_is_a_t_over_the_repetitions():
    """Hand-made: a repetition's value is the mean of its logarithms over the points."""
    ratios_at = ([0.5, 0.6, 0.55], [0.25, 0.2, 0.3], [0.8, 0.7, 0.9])
    found = over(
        fast=lambda _: [1000.0] * 3,
        slow=lambda place: [1000.0 * ratio for ratio in ratios_at[place]],
    )
    means = np.log(np.array(ratios_at)).mean(axis=0)
    expected = scipy.stats.ttest_1samp(means, 0).confidence_interval(0.95)
    first, second = (row for _, row in summary.over_points(found).iterrows())
    assert (first["key"], first["relative"], second["key"]) == ("a", 1, "b")
    assert np.isnan(first["low"])
    assert second["relative"] == pytest.approx(np.exp(means.mean()))
    ends = second["low"], second["high"]
    assert ends == pytest.approx((np.exp(expected.low), np.exp(expected.high)))


def test_the_answer_over_several_points_has_intervals_in_words_and_at_each_point():
    found = over(
        fast=lambda _: [1000.0, 1010.0, 990.0],
        slow=lambda place: [(500.0 + 100 * place) * wobble for wobble in (1, 1.1, 0.9)],
    )
    (said,) = summary.answer(found, Asked({}))
    assert (
        "led at the 3 points: a at 3; mean ratio to the best of each: b 0.59 × (0.47 – 0.74)."
        in said
    )
    (means,) = figures.answer_tables(found, Asked({}))
    assert means.rows[1][3] == "0.59 × (0.47 – 0.74)"
    (at_points,) = figures.answer_points(found, Asked({}))
    titles = [column.title for column in at_points.columns]
    assert titles == ["store", "n=0", "n=1", "n=2"]
    assert at_points.rows[0] == ("a", "best", "best", "best")
    for cell, ratio in zip(at_points.rows[1][1:], ("0.50", "0.60", "0.70"), strict=True):
        assert cell.startswith(f"{ratio} × (")


def test_a_store_that_was_not_ranked_everywhere_has_no_mean_but_its_points():
    found = over(fast=lambda _: [1000.0] * 3, slow=lambda _: [500.0, 510.0, 490.0])
    gone = (found["key"] == "b") & (found["point_label"] == "n=1")
    found = found.assign(valid=found["valid"] & ~gone)
    (means,) = figures.answer_tables(found, Asked({}))
    assert means.rows[1][:4] == ("b", "0", "2 of 3", "–")
    (at_points,) = figures.answer_points(found, Asked({}))
    assert at_points.rows[1][2] == "–"
    assert at_points.rows[1][1].startswith("0.50 ×")


def test_a_store_alone_in_its_class_is_not_compared_with_itself():
    found = over(fast=lambda _: [1000.0] * 3, slow=lambda _: [500.0] * 3)
    alone = found[found["key"] == "a"]
    assert summary.answer(alone, Asked({})) == [
        "Power-loss safe as configured: only a was ranked, at 3 points."
    ]
    assert not list(figures.answer_points(alone, Asked({})))


def test_a_store_of_which_nothing_ended_is_not_known(tmp_path):
    undone = MadeStore("kafka", row={"status": "failed", "valid": False, "guarantees": "{}"})
    found = trials(tmp_path, Made((*stores(), undone), keep_samples=False, operations=500))
    assert "Not known yet: kafka (occ: native)." in summary.answer(found, Asked({"occ": "native"}))


def test_points_at_which_nobody_leads_are_counted_in_one_sentence():
    frames = []
    for place in range(4):
        point = {"point": json.dumps({"n": place}), "point_label": f"n={place}",
                 "emulator": "", "provider": "", "scheduled": 1000}  # fmt: skip
        wobbling = 1000.0 * np.array([1, 0.7, 1.3, 0.8, 1.2])
        frames += [pairs(pairs=5, throughput_per_s=1050.0).assign(key="a", **point),
                   pairs(pairs=5, throughput_per_s=wobbling).assign(key="b", **point)]  # fmt: skip
    told = summary.changes(pd.concat(frames, ignore_index=True), Asked({}))
    assert [line for line in told if "tell" in line and "from" in line] == [
        "At 4 of 4 points this run does not tell the leader from others: repeat more."
    ]


LEFT_OUT = {"kafka": "kafka: native: needs Java", "dynamodb": "dynamodb: native: needs Java"}
ORDER = [[1, "memory"], [2, "kafka{acks=1}"], [3, "dynamodb"], [4, "dynamodb:commit"],
         [5, "sqlite"], [6, "postgres"], [7, "null"]]  # fmt: skip


def test_stores_that_were_asked_for_and_have_no_result_are_named_with_the_reason(tmp_path):
    found = trials(tmp_path)
    absent = summary.not_run(found, {"order": ORDER, "left_out": LEFT_OUT})
    assert summary.answer(found, Asked({}, absent=absent))[-1] == (
        "Not run: kafka{acks=1}, dynamodb, dynamodb:commit (native: needs Java);"
        " null (the run ended before its turn)."
    )
    failed = MadeStore("kafka", row={"status": "failed", "valid": False, "message": "no\nroute."})
    found = trials(tmp_path / "failed", Made((*stores(), failed), operations=500))
    assert summary.not_run(found, {"order": [[1, "memory"], [2, "kafka"]]}) == {
        "kafka": "failed: no route"
    }
    assert summary.not_run(found, {"order": [[1, "memory"]]}) == {}
    assert summary.answer(found, Asked({})) == summary.answer(found, Asked({}, absent={}))


def served(*stores: tuple[str, str, str, str]):
    """Trials of stores with a provider and a durability, and the manifest with their paths."""
    frames = [
        pairs(key=key, pairs=2).assign(store=key, provider=provider, durability=durability)
        for key, provider, _, durability in stores
    ]
    servers = {key: {"paths": [{"kind": kind}] if kind else []} for key, _, kind, _ in stores}
    return pd.concat(frames, ignore_index=True), {"servers": servers}


PROXIED = ("postgres", "docker", "docker-proxy", "power-loss")
SAME_WAY = ("eventstoredb", "docker", "docker-proxy", "power-loss")
ON_THE_HOST = ("eventstoredb", "docker", "host network", "power-loss")
WEAKER = ("kafka", "docker", "loopback", "process-crash")
IN_PROCESS = ("sqlite", "none", "", "power-loss")
ELSEWHERE = ("eventstoredb", "external", "", "power-loss")


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ((SAME_WAY, IN_PROCESS), None),
        ((WEAKER,), None),
        ((ON_THE_HOST,), "postgres: docker-proxy (docker); eventstoredb: host network (docker)"),
        ((ELSEWHERE,), "postgres: docker-proxy (docker); eventstoredb: external"),
    ],
)
def test_a_ranking_over_different_kinds_of_path_says_so(others, told):
    """Of the same provider, too; not across classes, which are not ranked together."""
    found = list(ways_that_differ(*served(PROXIED, *others)))
    assert len(found) == (told is not None)
    assert all(f"power-loss: servers were reached in different ways ({told})" in each
               for each in found)  # fmt: skip
