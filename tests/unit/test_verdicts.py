"""What is said beside a trial's numbers: was it the store, or was it the generator?"""

from __future__ import annotations

import pytest

from harness.runner import verdicts
from harness.summary.flags import explanation

from .scenarios import SMALL, loaded

CEILING_PER_S = 200_000.0
WELL = {
    "status": "done", "balanced": True, "verified": "ok", "provider": "native", "measured_s": 2.0,
    "busiest_worker_cpu_s": 0.5, "processes": 1,
    "throughput_per_s": 5_000.0, "scheduled": 10_000, "ok": 10_000,
    "refused": 0, "timeout": 0, "unknown": 0, "dropped": 0, "unfinished": 0, "events": 10_000,
}  # fmt: skip
BOUND = {
    "its process took nearly a whole core": {"busiest_worker_cpu_s": 1.9},
    "over half of what it reaches on nothing": {"throughput_per_s": 120_000.0},
    "late by much of the response": {"dispatch_delay_p50_ns": 90e3, "response_p50_ns": 500e3},
}


@pytest.fixture
def trial(tmp_path):
    return loaded(tmp_path, SMALL).trials[0]


def test_a_slow_store_is_not_put_down_to_the_generator(trial):
    assert verdicts.flags(trial, WELL | {"throughput_per_s": 3.0}, CEILING_PER_S) == []
    punctual = {"dispatch_delay_p50_ns": 40e3, "response_p50_ns": 500e3}
    assert verdicts.flags(trial, WELL | punctual, CEILING_PER_S) == []


@pytest.mark.parametrize("changed", BOUND.values(), ids=list(BOUND))
def test_a_generator_that_was_the_limit_is_named(trial, changed):
    assert verdicts.flags(trial, WELL | changed, CEILING_PER_S) == ["generator-bound"]


def test_a_store_in_the_generators_own_process_cannot_be_told_from_it(trial):
    row = WELL | {"busiest_worker_cpu_s": 2.0, "provider": "none"}
    assert verdicts.flags(trial, row, CEILING_PER_S) == ["a whole core for store and generator"]


def test_failures_above_one_in_a_thousand_are_named(trial):
    row = WELL | {"ok": 9_900, "refused": 60, "unknown": 40}
    assert verdicts.flags(trial, row, CEILING_PER_S) == ["1.0% of operations failed"]
    assert verdicts.flags(trial, WELL | {"refused": 5}, CEILING_PER_S) == []


def test_a_broken_promise_makes_a_trial_invalid_and_a_finding_does_not():
    assert verdicts.is_valid(WELL)
    assert verdicts.is_valid(WELL | {"verified": "findings", "declared_violations": 0})
    assert not verdicts.is_valid(WELL | {"declared_violations": 1})
    assert not verdicts.is_valid(WELL | {"balanced": False})
    assert not verdicts.is_valid(WELL | {"status": "aborted"})


def test_a_search_says_between_which_rates_its_answer_lies(trial):
    found = {"rate_found": "search", "rate_per_s": 3644.0, "failed_rate_per_s": 3990.0}
    said = verdicts.flags(trial, WELL | found, CEILING_PER_S)
    assert said == ["held 3,644/s; 3,990/s did not"]


def test_a_warm_up_that_was_not_over_is_named(trial):
    never = {"steady": False, "steady_after_s": None}
    late = {"steady": True, "steady_after_s": 1.25}
    for changed, said in ((never, "never became so"), (late, "1.2 s into the measurement")):
        (flag,) = verdicts.flags(trial, WELL | changed, CEILING_PER_S)
        assert flag.startswith("warm-up not steady")
        assert said in flag
    well = {"steady": True, "steady_after_s": 0.0}
    assert verdicts.flags(trial, WELL | well, CEILING_PER_S) == []
    assert verdicts.flags(trial, WELL | {"steady": None}, CEILING_PER_S) == []


def test_stolen_time_is_named_at_the_end_of_a_run():
    assert verdicts.neighbour_flags({"steal_share": 0.05}) == ["the hypervisor took CPU time away"]
    assert verdicts.neighbour_flags({}) == verdicts.neighbour_flags({"steal_share": 0.001}) == []


@pytest.mark.parametrize(
    ("after", "said"),
    [(100, []), (104, []), (96, []), (80, ["the machine became 20% slower during the run"]),
     (130, ["the machine became 30% faster during the run"])],
)  # fmt: skip
def test_a_drift_of_the_generators_own_rate_is_named(after, said):
    assert verdicts.drift_flags(100, after) == said
    assert verdicts.drift_flags(0, after) == []
    assert all(explanation(each) for each in said)
