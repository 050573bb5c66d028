"""`eslab calibrate --drivers` on a real store, and a run that knows of it."""

import json

from harness import results

from .command import eslab

APPENDS = """
name: driven
stores: [sqlite, memory]
workload: append
load: {closed: {workers: 2}}
warm_up_s: 0.1
duration_s: 0.2
"""


def test_a_run_tells_the_driver_apart_that_was_calibrated_before_it(tmp_path):
    out = ("--out", tmp_path / "results")
    offered = ("--workers", "2", "--expected", "any")
    asked = ("--drivers", "--stores", "sqlite", "--seconds", "0.5", *offered, "--json")
    told = eslab("calibrate", *asked, *out)
    assert told.returncode == 0, told.stdout + told.stderr
    (cost,) = json.loads(told.stdout)
    assert (cost["key"], cost["turns"]) == ("sqlite", 3)
    assert cost["share_least"] <= cost["share"] <= cost["share_most"]
    for side in (cost["lab"], cost["bare"]):  # a busy machine's clock may see no time in the kernel
        assert side["per_s"] > 0 < side["user_us"]
        assert side["kernel_us"] >= 0

    scenario = tmp_path / "driven.yaml"
    scenario.write_text(APPENDS)
    told = eslab("run", scenario, *out)
    assert told.returncode == 0, told.stdout + told.stderr
    trials = results.load(next((tmp_path / "results").glob("2*-driven-*"))).trials.set_index("key")
    sqlite, memory = trials.loc["sqlite"], trials.loc["memory"]
    outside_us = sqlite["generator_cpu_per_event_us"] - sqlite["generator_kernel_per_event_us"]
    assert sqlite["driver_share"] == min(1, cost["share"])
    assert 0 < sqlite["driver_cpu_per_event_us"] <= outside_us
    assert (sqlite["driver_unknown"], memory["driver_unknown"]) == ("", "")
    assert "client CPU an event" in told.stdout

    for wrong in (
        ("--workers", "2"),
        ("--drivers", "--stores", "memory"),
        ("--drivers", "--expected", "some"),
    ):
        told = eslab("calibrate", *wrong, *out)
        assert (told.returncode, told.stderr.count("\n")) == (2, 1), told.stderr
