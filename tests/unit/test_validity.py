"""What is said beside a trial's numbers: was it the store, or was it the generator?"""

from __future__ import annotations

import pytest

from harness.domain.flags import FlagCode, explanation, sentence
from harness.run import validity

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


def sentences(trial, row):
    return [sentence([flag]) for flag in validity.flags(trial, row, CEILING_PER_S)]


@pytest.fixture
def trial(tmp_path):
    return loaded(tmp_path, SMALL).trials[0]


def test_a_slow_store_is_not_put_down_to_the_generator(trial):
    assert sentences(trial, WELL | {"throughput_per_s": 3.0}) == []
    punctual = {"dispatch_delay_p50_ns": 40e3, "response_p50_ns": 500e3}
    assert sentences(trial, WELL | punctual) == []


@pytest.mark.parametrize("changed", BOUND.values(), ids=list(BOUND))
def test_a_generator_that_was_the_limit_is_named(trial, changed):
    assert sentences(trial, WELL | changed) == ["generator-bound"]


DRIVERS = {
    "its driver takes the larger part of a busy client": (1.9, 0.78, "native", True),
    "the lab takes the larger part": (1.9, 0.45, "native", False),
    "its client was not busy": (1.0, 0.78, "native", False),
    "nobody measured the driver": (1.9, None, "native", False),
    "it is its own driver": (1.9, 0.78, "none", False),
}


@pytest.mark.parametrize("name", DRIVERS)
def test_a_driver_that_was_the_limit_is_named_beside_the_generator(trial, name):
    busy_s, share, provider, bound = DRIVERS[name]
    row = WELL | {"busiest_worker_cpu_s": busy_s, "driver_share": share, "provider": provider}
    told = validity.flags(trial, row, CEILING_PER_S)
    by_driver = [flag for flag in told if flag.code is FlagCode.DRIVER_BOUND]
    assert [sentence([flag]) for flag in by_driver] == (
        ["driver-bound: 78% of its client's CPU is the driver's"] if bound else []
    )
    assert all("the driver was the limit" in explanation(flag) for flag in by_driver)
    assert any(flag.code is FlagCode.GENERATOR_BOUND for flag in told) or not bound


def test_a_store_in_the_generators_own_process_cannot_be_told_from_it(trial):
    row = WELL | {"busiest_worker_cpu_s": 2.0, "provider": "none"}
    assert sentences(trial, row) == ["a whole core for store and generator"]


def test_failures_above_one_in_a_thousand_are_named(trial):
    row = WELL | {"ok": 9_900, "refused": 100}
    assert sentences(trial, row) == ["1.0% of operations failed"]
    few = {"refused": 5, "refusals": '{"DiskFullError": 5}'}
    assert sentences(trial, WELL | few) == []


def test_the_classes_of_the_most_frequent_errors_stand_beside_the_share(trial):
    refusals = '{"A": 1, "DiskFullError": 90, "B": 2, "OutcomeUnknown": 7}'
    row = WELL | {"ok": 9_900, "refused": 93, "unknown": 7, "refusals": refusals}
    row |= {"longest_unanswered_s": 0.5}
    assert sentences(trial, row) == [
        "1.0% of operations failed",
        "90 operations ended with DiskFullError",
        "7 operations ended with OutcomeUnknown",
        "2 operations ended with B",
        "unanswered operations: 7; the longest waited 0.50 s",
    ]


def test_a_trial_without_one_success_is_not_valid_and_says_why():
    message = "DiskFullError: could not extend file: No space left on device"
    row = WELL | {"ok": 0, "conflict": 0, "refused": 9_990, "dropped": 10, "message": ""}
    row |= {"failure_message": message}
    assert not validity.is_valid(row)
    assert validity.message(row) == (
        f"no operation succeeded: 9,990 refused, 10 dropped; {message}"
    )
    assert validity.message(WELL | {"message": ""}) == ""
    assert validity.message(row | {"status": "failed", "message": "killed"}) == "killed"


INTERRUPTED = {
    "33.0 s of 41.0 s without service": {"without_service_s": 33.0, "measured_s": 41.0},
    "unanswered operations: 1; the longest waited 0.40 s": {
        "unknown": 1, "longest_unanswered_s": 0.4,
    },
    "measured for 38.0 s, asked for 5.0 s": {"measured_s": 38.0},
    "the server restarted or ended while it was measured": {"server_restarted": True},
    "the lab itself stood still for 5.0 s of 5.0 s": {"stalled_s": 5.0, "measured_s": 5.0},
    "not counted, since the counter began anew: commits, full page images": {
        "counts_reset": "commits, full_page_images",
    },
}  # fmt: skip


@pytest.mark.parametrize("said", INTERRUPTED)
def test_what_a_mean_would_hide_is_named(trial, said):
    found = sentences(trial, WELL | INTERRUPTED[said])
    assert said in found
    allowed = {"measured for 41.0 s, asked for 5.0 s"} if "33.0" in said else set()
    assert set(found) - {said} == allowed
    assert all(explanation(flag) for flag in validity.flags(trial, WELL | INTERRUPTED[said], 1e9))


def test_a_window_that_ends_with_its_last_operation_is_as_long_as_asked(trial):
    assert sentences(trial, WELL | {"measured_s": 5.9}) == []


def test_a_broken_promise_makes_a_trial_invalid_and_a_finding_does_not():
    assert validity.is_valid(WELL)
    assert validity.is_valid(WELL | {"verified": "findings", "declared_violations": 0})
    assert not validity.is_valid(WELL | {"declared_violations": 1})
    assert not validity.is_valid(WELL | {"balanced": False})
    assert not validity.is_valid(WELL | {"status": "aborted"})


def test_a_search_says_between_which_rates_its_answer_lies(trial):
    found = {"rate_found": "search", "rate_per_s": 3644.0, "failed_rate_per_s": 3990.0}
    said = sentences(trial, WELL | found)
    assert said == ["held 3,644/s; 3,990/s did not"]


def test_a_warm_up_that_was_not_over_is_named(trial):
    never = {"steady": False, "steady_after_s": None}
    late = {"steady": True, "steady_after_s": 1.25}
    for changed, said in ((never, "never became so"), (late, "1.2 s into the measurement")):
        (flag,) = sentences(trial, WELL | changed)
        assert flag.startswith("warm-up not steady")
        assert said in flag
    well = {"steady": True, "steady_after_s": 0.0}
    assert sentences(trial, WELL | well) == []
    assert sentences(trial, WELL | {"steady": None}) == []


def test_stolen_time_is_named_at_the_end_of_a_run():
    assert [flag.code for flag in validity.neighbour_flags({"steal_share": 0.05})] == [
        FlagCode.STOLEN_CPU
    ]
    assert validity.neighbour_flags({}) == validity.neighbour_flags({"steal_share": 0.001}) == []


@pytest.mark.parametrize(
    ("after", "said"),
    [(100, []), (104, []), (96, []), (80, ["the machine became 20% slower during the run"]),
     (130, ["the machine became 30% faster during the run"])],
)  # fmt: skip
def test_a_drift_of_the_generators_own_rate_is_named(after, said):
    flags = validity.drift_flags(100, after)
    assert [sentence([flag]) for flag in flags] == said
    assert validity.drift_flags(0, after) == []
    assert all(explanation(flag) for flag in flags)


def test_a_rule_that_the_design_protects_makes_a_trial_invalid_if_it_is_broken(trial):
    broken = '{"courses over capacity": 3, "names taken twice": 0}'
    row = WELL | {"keeps_rules": True, "rule_violations": 3, "rules_broken": broken, "message": ""}
    assert not validity.is_valid(row)
    reason = "broken rules: courses over capacity (3), which the design protects"
    assert validity.message(row) == reason
    assert sentences(trial, row) == []
    kept = row | {"rule_violations": 0}
    assert validity.is_valid(kept)
    assert validity.message(kept) == ""


def test_a_rule_that_nothing_protects_is_named_where_it_is_broken(trial):
    broken = '{"courses over capacity": 3, "names taken twice": 0}'
    row = WELL | {"keeps_rules": False, "rule_violations": 3, "rules_broken": broken, "message": ""}
    assert validity.is_valid(row)
    assert sentences(trial, row) == ["broken rules: courses over capacity (3)"]
    assert sentences(trial, row | {"rule_violations": 0}) == []


def test_what_became_of_appends_without_an_answer_is_said_where_clients_went_on(trial):
    settled = {"settled_by_answer": 9, "settled_by_reading": 1, "settled_by_conflict": 2}
    row = WELL | settled | {"unknown_attempts": 12, "given_up": 0}
    assert sentences(trial, row) == [
        "appends without an answer: 12; doubts that ended by a retry's answer: 9, by reading: 1,"
        " by a conflict: 2; operations given up: 0"
    ]
    assert sentences(trial, WELL | {"unknown_attempts": 0}) == []
    assert sentences(trial, WELL | {"unknown_attempts": None}) == []
