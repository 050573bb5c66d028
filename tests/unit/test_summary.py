"""What the frames say: who leads inside a class, what does not count, curves, contention, flags."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness import results
from harness.analysis import summary
from harness.domain.flags import Flag, FlagCode, dumped
from tests.made_run import MEMORY, OPTIONS, POSTGRES, SQLITE, TEMPLATE, Made, MadeStore, made_run

SMALL = 2_000


def with_cells(trials: pd.DataFrame, key: str, cells: dict[str, object]) -> pd.DataFrame:
    """The trials of one store with other cells; not all agree with the rest of the row."""
    changed = {name: trials[name].mask(trials["key"] == key, cell) for name, cell in cells.items()}
    return trials.assign(**changed)


def trials_of(tmp_path, *stores: MadeStore, **more) -> pd.DataFrame:
    made = Made(**{"stores": stores, "operations": SMALL, "keep_samples": False} | more)
    return results.load(made_run(tmp_path, made)).trials


def test_stores_are_ranked_inside_their_durability_class_only(tmp_path):
    ranked = summary.ranking(trials_of(tmp_path, MEMORY, SQLITE, POSTGRES, OPTIONS))
    places = dict(zip(ranked["key"], ranked["rank"], strict=True))
    assert places == {"memory": 1, "postgres": 1, "sqlite": 2, OPTIONS.key: 1}
    best = ranked[ranked["rank"] == 1]
    assert (best["relative_to_best"] == 1).all()


def test_the_number_of_a_store_is_the_median_of_its_repetitions(tmp_path):
    trials = trials_of(tmp_path, MEMORY)
    row = summary.ranking(trials).iloc[0]
    assert row["throughput_per_s"] == trials["throughput_per_s"].median()
    assert row["throughput_min_per_s"] == trials["throughput_per_s"].min()
    assert row["repetitions"] == 3


def test_an_open_load_is_ranked_by_response_time(tmp_path):
    ranked = summary.ranking(trials_of(tmp_path, SQLITE, POSTGRES, load="open"))
    assert ranked["ranked_by"].unique().tolist() == ["response p50"]
    assert ranked["key"].tolist() == ["postgres", "sqlite"]
    assert ranked["relative_to_best"].iloc[1] > 1


def test_an_invalid_store_has_a_reason_and_no_rank(tmp_path):
    broken = MadeStore("postgres:broken", service_us=1, row={"valid": False, "message": "lost 3"})
    ranked = summary.ranking(trials_of(tmp_path, POSTGRES, broken)).set_index("key")
    assert ranked.loc["postgres", "rank"] == 1
    assert pd.isna(ranked.loc["postgres:broken", "rank"])
    assert ranked.loc["postgres:broken", "reason"] == "invalid: lost 3"


OUTAGE = {"measured_s": 8.0, "without_service_s": 7.0}
UNRANKED = {
    "7.0 s of 8.0 s without service: the rest is no measure": OUTAGE,
    "7.0 s of 8.0 s without service (refused with DiskFullError): the rest is no measure": (
        OUTAGE | {"refused": 300, "refusals": '{"DiskFullError": 299, "Other": 1}'}
    ),
    "the lab itself stood still for 7.0 s of 8.0 s": OUTAGE | {"stalled_s": 6.99},
    "0.7 s of 8.0 s without service: the rest is no measure": (
        OUTAGE | {"without_service_s": 0.7, "stalled_s": 0.05}
    ),
}


@pytest.mark.parametrize("reason", UNRANKED)
def test_a_trial_with_an_outage_is_not_ranked(tmp_path, reason):
    flags = [Flag(FlagCode.WITHOUT_SERVICE, {"seconds": 7.0, "of_s": 8.0})]
    trials = trials_of(tmp_path, POSTGRES, MadeStore("sqlite", service_us=1))
    stopped = with_cells(trials, "sqlite", UNRANKED[reason] | {"flags": dumped(flags)})
    ranked = summary.ranking(stopped).set_index("key")
    assert ranked.loc["postgres", "rank"] == 1
    assert pd.isna(ranked.loc["sqlite", "rank"])
    assert ranked.loc["sqlite", "reason"] == reason
    assert not [flag for flag in ranked.loc["sqlite", "flags"] if reason.startswith(flag)]


def test_a_pause_of_less_than_a_hundredth_is_ranked_and_said(tmp_path):
    short = {"measured_s": 300.0, "without_service_s": 1.5, "stalled_s": 1.5}
    flags = [Flag(FlagCode.WITHOUT_SERVICE, {"seconds": 1.5, "of_s": 300.0})]
    paused = with_cells(trials_of(tmp_path, SQLITE), "sqlite", short | {"flags": dumped(flags)})
    ranked = summary.ranking(paused).set_index("key")
    assert ranked.loc["sqlite", "rank"] == 1
    assert ranked.loc["sqlite", "flags"] == ("1.5 s of 300.0 s without service",)


def test_a_store_that_keeps_nothing_is_not_ranked(tmp_path):
    null = MadeStore("null", MEMORY.durability, 1.0, row={"verified": "impossible"})
    ranked = summary.ranking(trials_of(tmp_path, MEMORY, null)).set_index("key")
    assert ranked.loc["memory", "rank"] == 1
    assert "ceiling" in ranked.loc["null", "reason"]


def test_findings_of_an_undeclared_guarantee_are_ranked_and_said(tmp_path):
    row = summary.ranking(trials_of(tmp_path, TEMPLATE)).iloc[0]
    assert row["rank"] == 1
    assert row["flags"] == ("41 findings in what it kept",)


def test_a_ranking_is_of_the_trials_as_they_are_now(tmp_path):
    """It is remembered by their content, so neither they nor an earlier answer may change it."""
    trials = trials_of(tmp_path, SQLITE, POSTGRES)
    trials["durability"] = "memory"
    first = summary.ranking(trials)
    first["rank"] = 7
    assert sorted(summary.ranking(trials)["rank"]) == [1, 2]
    best = summary.ranking(trials)["key"].iloc[0]
    trials.loc[trials["key"] == best, "throughput_per_s"] /= 100
    assert summary.ranking(trials)["key"].iloc[0] != best
    assert summary.over_points(trials).set_index("key")["relative"][best] < 0.1


def test_a_store_that_failed_most_operations_is_not_ranked_by_the_rest(tmp_path):
    trials = trials_of(tmp_path, SQLITE, POSTGRES)
    trials["durability"] = "memory"
    failing = trials["key"] == "postgres"
    trials.loc[failing, "refused"] = trials.loc[failing, "scheduled"] * 3 // 4
    ranked = summary.ranking(trials).set_index("key")
    assert pd.isna(ranked.loc["postgres", "rank"])
    assert ranked.loc["postgres", "reason"].startswith("75 % of its operations failed")
    assert ranked.loc["sqlite", "rank"] == 1


def test_the_overall_ratio_is_a_geometric_mean_and_only_of_stores_at_every_point():
    assert summary.geometric_mean(np.array([0.5, 2.0])) == pytest.approx(1)
    assert np.isnan(summary.geometric_mean(np.array([])))


def test_a_curve_is_of_measured_operations_that_ended_well_and_ends_before_the_last_hundred():
    count = 10_000
    samples = pd.DataFrame(
        {
            "op": [-2, *range(count), count],
            "outcome": [0] * (count + 1) + [1],
            "intended_ns": 0,
            "sent_ns": 0,
            "done_ns": [10**12, *range(1, count + 1), 10**12],
        }
    )
    curve = summary.latency_curve(samples)
    assert curve["count"].unique().tolist() == [count]
    assert curve["percentile"].max() == 99
    assert curve["ns"].is_monotonic_increasing
    assert curve.loc[curve["percentile"] == 50, "ns"].item() == pytest.approx(5_000, rel=0.01)
    assert curve["ns"].max() <= count


def test_the_tail_gives_each_nine_the_same_room():
    assert summary.tail(np.array([90.0, 99.0, 99.9])).tolist() == pytest.approx([1, 2, 3])


def test_curves_of_trials_without_samples_come_from_their_rows(tmp_path):
    trials = trials_of(tmp_path, MEMORY, operations=20_000)
    curves = summary.latency_curves(trials, lambda _: None)
    assert sorted(curves["percentile"].unique()) == [50, 90, 95, 99]
    assert set(curves["trial_id"]) == set(trials["trial_id"])
    assert set(curves["times"]) == {"service"}


def test_a_trial_that_is_not_done_has_no_curve(tmp_path):
    trials = trials_of(tmp_path, MadeStore("memory", row={"status": "failed"}))
    assert summary.latency_curves(trials, lambda _: None).empty


def test_fewer_streams_are_more_contention(tmp_path):
    points = [{"streams.count": count} for count in (1, 16, 4)]
    trials = trials_of(tmp_path, POSTGRES, points=points, workload="command")
    rows = summary.contention(trials).sort_values("x").drop_duplicates("x")
    assert rows["x_label"].tolist() == ["16", "4", "1"]
    assert rows["conflicts_per_op"].is_monotonic_increasing
    assert rows["x_name"].iloc[0] == "streams.count"
    assert summary.has_contention(trials)


def test_what_else_was_varied_gets_a_figure_of_its_own(tmp_path):
    points = [
        {"streams.count": count, "load.closed.workers": workers}
        for count in (1, 4, 16)
        for workers in (2, 8)
    ]
    trials = trials_of(tmp_path, POSTGRES, MEMORY, points=points, repetitions=1)
    groups = list(summary.contention_groups(trials))
    assert [len(group) for group in groups] == [3] * 4
    panels = {summary.contention(group)["panel"].unique().item() for group in groups}
    assert panels == {"load.closed.workers = 2", "load.closed.workers = 8"}


def test_refusals_of_a_design_without_conflicts_are_told(tmp_path):
    row = {"ok": 60, "measured_s": 2.0, "throughput_per_s": 30.0, "refused": 40, "conflicts": 0}
    rows = summary.contention(trials_of(tmp_path, MadeStore("postgres:template", row=row)))
    assert rows["refused_per_op"].unique().tolist() == [0.4]


def test_a_store_that_did_not_run_has_no_conflicts_rather_than_none(tmp_path):
    undone = {"status": "unsupported", "message": "no", "ok": None, "conflicts": None}
    undone |= dict.fromkeys(("conflict", "refused", "timeout", "unknown", "retries"))
    undone |= {"throughput_per_s": None}
    rows = summary.contention(trials_of(tmp_path, MadeStore("null", row=undone)))
    assert rows["conflicts_per_op"].isna().all()
    assert rows["reason"].unique().tolist() == ["unsupported: no"]


def test_appends_without_conflicts_are_no_contention(tmp_path):
    assert not summary.has_contention(trials_of(tmp_path, MadeStore("memory")))


def test_delivery_is_of_trials_with_subscribers_only(tmp_path):
    assert not summary.has_deliveries(trials_of(tmp_path / "without", MEMORY))
    trials = trials_of(tmp_path / "with", MEMORY, subscribers=True)
    assert summary.has_deliveries(trials)
    assert (summary.delivery(trials)["p99_ns"] > 0).all()


def test_flags_name_their_stores_and_what_they_mean(tmp_path):
    bound = MadeStore("memory", row={"flags": dumped([Flag(FlagCode.GENERATOR_BOUND)])})
    found = summary.by_flag(trials_of(tmp_path, bound, SQLITE))
    assert found["stores"].tolist() == ["memory"]
    assert "at least this much" in found["explanation"].item()


def test_a_run_that_was_cut_short_says_so_first():
    flags = summary.run_flags({"status": "aborted", "flags": [{"code": "swapping"}]})
    assert [flag.code for flag in flags] == [FlagCode.INTERRUPTED, FlagCode.SWAPPING]


def test_the_headline_does_not_name_a_leader_where_repetitions_overlap(tmp_path):
    close = MadeStore("postgres:row", service_us=180.0)
    trials = trials_of(tmp_path, POSTGRES, close)
    trials["throughput_per_s"] = [100.0, 101.0, 102.0, 99.0, 101.0, 103.0]
    trials["repetition"] = [1, 2, 3, 4, 5, 6]  # nothing that ran side by side
    (said,) = summary.headlines(summary.ranking(trials))
    assert "no clear lead" in said
    assert "power-loss" in said


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ([90.0, 91.0, 89.0], "follows at 0.90 × (0.90 – 0.90)."),
        ([90.0, 130.0, 70.0], "does not tell them apart"),
    ],
)
def test_a_lead_is_told_from_the_pairs_and_not_from_the_ranges(tmp_path, second, told):
    trials = trials_of(tmp_path, POSTGRES, MadeStore("postgres:row", service_us=180.0))
    first = trials["key"] == "postgres"
    trials.loc[first, "throughput_per_s"] = [100.0, 101.0, 99.0]
    trials.loc[~first, "throughput_per_s"] = second
    (said,) = summary.headlines(summary.ranking(trials))
    assert told in said


def test_a_percentile_that_is_not_given_says_why(tmp_path):
    trials = trials_of(tmp_path, POSTGRES)
    told = "fewer than 100 operations beyond it"
    given = trials.assign(service_p99_ns=1e6)
    assert not any(told in each for each in summary.remarks(given, {}))
    assert any(told in each for each in summary.remarks(given.assign(service_p99_ns=None), {}))


def test_an_emulator_is_named_as_one_beside_its_rank(tmp_path):
    trials = trials_of(tmp_path, POSTGRES).assign(emulator="an emulator of a service")
    (said,) = summary.headlines(summary.ranking(trials))
    assert "only postgres (an emulator) was ranked" in said


def test_a_search_is_ranked_by_the_rate_that_it_found(tmp_path):
    trials = trials_of(tmp_path, SQLITE, POSTGRES, load="open").assign(rate_found="search")
    assert set(summary.ranking(trials)["ranked_by"]) == {"throughput"}
