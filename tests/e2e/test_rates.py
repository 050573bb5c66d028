"""`eslab run` where the run finds its own rates, on real stores."""

from harness import results

from .command import eslab, the_run

APPENDS = """
name: rates
stores: [memory]
workload: append
load: {{open: {load}}}
events: {{size_bytes: 64}}
warm_up_s: 0.1
duration_s: 0.2
"""


def run_of(tmp_path, load, stores):
    scenario = tmp_path / "rates.yaml"
    scenario.write_text(APPENDS.format(load=load))
    told = eslab("run", scenario, "--stores", stores, "--out", tmp_path / "results")
    assert told.returncode == 0, told.stdout + told.stderr
    return told, results.load(the_run(tmp_path / "results"))


def test_a_fraction_of_capacity_is_offered_of_what_each_store_reached(tmp_path):
    _, run = run_of(tmp_path, "{of_capacity: 0.5}", "postgres,sqlite")
    trials, probes = run.trials.set_index("key"), run.probes
    for key in ("postgres", "sqlite"):
        best = probes[probes["key"] == key]["throughput_per_s"].max()
        assert trials.loc[key, "capacity_per_s"] == best > 100
        assert trials.loc[key, "rate_per_s"] == best / 2
    assert set(probes["purpose"]) == {"capacity"}
    assert trials["load_label"].nunique() == 1


def test_a_search_ends_with_a_rate_that_held_and_one_above_it_that_did_not(tmp_path):
    load = "{search: {slo: {p50_ms: 20, errors: 0.1%}, probe_s: 0.3}}"
    told, run = run_of(tmp_path, load, "sqlite")
    (trial,) = run.trials.to_dict("records")
    tried = run.probes[run.probes["purpose"] == "search"]
    held, failed = tried[tried["held"]], tried[~tried["held"]]
    assert (held["rate_per_s"] == trial["rate_per_s"]).sum() >= 3
    assert trial["rate_per_s"] < trial["failed_rate_per_s"] == failed["rate_per_s"].min()
    assert trial["verified"] == "ok"
    assert "not held" in told.stdout


def test_an_objective_that_nothing_holds_is_a_failed_trial_that_says_so(tmp_path):
    scenario = tmp_path / "rates.yaml"
    load = "{search: {slo: {p50_ms: 0.001}, probe_s: 0.1}}"
    scenario.write_text(APPENDS.format(load=load))
    told = eslab("run", scenario, "--stores", "sqlite", "--out", tmp_path / "results")
    assert told.returncode == 1
    assert "Traceback" not in told.stderr
    (trial,) = results.load(the_run(tmp_path / "results")).trials.to_dict("records")
    assert trial["status"] == "failed"
    assert "no rate held" in trial["message"]
