"""The workload `boundary`, run in all its designs: counts, audit and verdict of each trial."""

import json

import pytest

from harness import results

from .command import eslab, the_run

SCENARIO = """
name: designs
stores:
  - memory:boundary
  - {store: memory, workload: {protection: one-stream}}
  - {store: memory, workload: {protection: saga}}
  - {store: memory, workload: {protection: none, capacity: 2}}
  - memory
  - {store: memory, workload: {protection: saga, register_share: 1}}
workload: {name: boundary, capacity: 5}
load: {closed: {workers: 16}}
events: {size_bytes: 64}
streams: {count: 2, category: course}
warm_up_s: 0.1
operations: 300
"""
COUNTS = ["decisions", "events_read", "false_conflicts", "compensations", "rule_violations"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boundary")
    (folder / "designs.yaml").write_text(SCENARIO)
    told = eslab("run", folder / "designs.yaml", "--out", folder / "results")
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout, results.load(the_run(folder / "results"))


def test_protected_rules_are_kept_and_unprotected_ones_are_counted(finished):
    told, run = finished
    trials = run.trials.set_index("key")
    protected = trials.loc[["memory:boundary", "memory+one-stream", "memory+saga"]]
    assert protected["keeps_rules"].all()
    assert (protected["rule_violations"] == 0).all()
    assert protected["valid"].all()
    unprotected = trials.loc["memory+capacity=2+none"]
    assert not unprotected["keeps_rules"]
    assert unprotected["rule_violations"] > 0
    assert unprotected["valid"]
    broken = json.loads(unprotected["rules_broken"])
    assert sum(broken.values()) == unprotected["rule_violations"]
    assert "memory+capacity=2+none: " in told
    assert "broken rules: courses over capacity" in told


def test_what_a_design_costs_is_counted(finished):
    trials = finished[1].trials.set_index("key")
    one_stream, saga = trials.loc["memory+one-stream"], trials.loc["memory+saga"]
    assert one_stream["false_conflicts"] > 0
    assert one_stream["false_conflicts"] <= one_stream["conflicts"]
    assert saga["compensations"] > 0
    assert trials.loc["memory:boundary", "events_read"] > 0


def test_the_warm_up_is_not_counted(finished):
    trial = finished[1].trials.set_index("key").loc["memory+saga+register_share=1.0"]
    assert trial["decisions"] == trial["scheduled"] == 300
    assert trial["events_read"] == 0


def test_a_store_without_boundaries_is_unsupported_and_has_no_counts(finished):
    trial = finished[1].trials.set_index("key").loc["memory"]
    assert trial["status"] == "unsupported"
    assert "conditional on a query" in trial["message"]
    assert trial[COUNTS].isna().all()


def test_other_workloads_have_no_such_counts():
    trials = results.load("results/baseline").trials
    assert trials[[*COUNTS, "keeps_rules"]].isna().all(axis=None)
    assert (trials["rules_broken"] == "").all()


def test_two_processes_that_meet_the_same_streams_are_verified(tmp_path):
    text = SCENARIO.replace("closed: {workers: 16}", "closed: {workers: 6}, processes: 2")
    (tmp_path / "shared.yaml").write_text(text.replace("memory, w", "sqlite, w"))
    told = eslab(
        "run", tmp_path / "shared.yaml", "--out", tmp_path / "results",
        "--stores", "sqlite+one-stream,sqlite+saga", "--set", "operations=100",
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    trials = results.load(the_run(tmp_path / "results")).trials
    assert (trials["verified"] == "ok").all()
    assert (trials["processes"] == 2).all()
    assert (trials["rule_violations"] == 0).all()
