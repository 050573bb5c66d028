"""`eslab run` on real stores: what it leaves, and what it leaves behind when it is hurt."""

import json
import os
import signal
import subprocess
import time

import numpy as np
import psutil
import pytest

from harness import results

from .command import AT_LEISURE, ESLAB, QUICKLY, ROOT, SMALL_EVENTS, eslab, the_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One small run on three real stores."""
    out = tmp_path_factory.mktemp("results")
    told = eslab(
        "run", "scenarios/quick.yaml", "--stores", "memory,sqlite,postgres,postgres:template",
        "--set", "warm_up_s=0.1", "--set", "operations=300", "--repeat", 1, *SMALL_EVENTS,
        "--out", out,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    return told, results.load(the_run(out)), out


def test_a_run_leaves_a_valid_balanced_verified_row_for_each_trial(finished):
    _, run, _ = finished
    trials = run.trials
    assert set(trials["key"]) == {"memory", "sqlite", "postgres", "postgres:template"}
    assert trials["valid"].all()
    assert trials["balanced"].all()
    assert set(trials["verified"]) <= {"ok", "findings"}
    assert (trials["ok"] > 0).all()
    counted = trials[["ok", "conflict", "refused", "timeout", "unknown", "dropped", "unfinished"]]
    assert (counted.sum(axis=1) == trials["scheduled"]).all()


def test_closed_runs_have_service_times_and_no_response_times(finished):
    trials = finished[1].trials
    assert trials["service_p50_ns"].notna().all()
    assert trials[[c for c in trials if c.startswith("response_p")]].isna().all(axis=None)


def test_the_raw_columns_agree_with_the_row(finished):
    run = finished[1]
    for _, row in run.trials.iterrows():
        samples = run.samples(row["trial_id"])
        measured = samples[samples["op"] >= 0]
        assert len(measured) == row["scheduled"]
        ok = measured[measured["outcome"] == 0]
        took_ns = np.sort((ok["done_ns"] - ok["sent_ns"]).to_numpy())
        assert took_ns[(len(ok) + 1) // 2 - 1] == row["service_p50_ns"]


def test_the_durability_settings_are_those_of_the_running_server(finished):
    trials = finished[1].trials.set_index("key")
    settings = json.loads(trials.loc["postgres", "settings"])
    assert settings["fsync"] == "on"
    assert settings["synchronous_commit"] == "on"
    assert trials.loc["postgres", "durability"] == "power-loss safe as configured"
    assert trials.loc["memory", "durability"] == "memory"


def test_the_manifest_tells_scenario_environment_and_servers(finished):
    manifest = finished[1].manifest
    assert manifest["status"] == "done"
    assert manifest["scenario"]["name"] == "quick"
    assert manifest["environment"]["cpu"]["cores"] == os.cpu_count()
    assert manifest["servers"]["postgres"]["provider"] == "native"
    assert manifest["servers"]["postgres"]["version"].startswith("18")


def test_the_output_ranks_inside_each_durability_class(finished):
    told = finished[0].stdout
    assert "power-loss safe as configured" in told
    assert "Traceback" not in told


def test_nothing_is_left_behind(finished):
    out = finished[2]
    assert [path.name for path in out.iterdir()] == [the_run(out).name]


def test_the_same_seed_gives_the_same_operations_and_json_output_is_json_alone(tmp_path):
    firsts = []
    for name in ("a", "b"):
        told = eslab(
            "run", "scenarios/quick.yaml", "--stores", "memory", "--repeat", "1",
            "--set", "operations=200", "--set", "warm_up_s=0", "--set", "load.closed.workers=1",
            *SMALL_EVENTS, "--out", tmp_path / name, "--json",
        )  # fmt: skip
        assert told.returncode == 0, told.stderr
        (run,) = json.loads(told.stdout)
        assert run["exit_code"] == 0
        assert run["trials"][0]["key"] == "memory"
        samples = results.load(the_run(tmp_path / name)).samples("001-memory")
        firsts.append(samples[["op", "stream", "first", "version"]])
    assert firsts[0].equals(firsts[1])


def test_a_store_without_versions_is_run_and_flagged_and_the_others_use_versions(tmp_path):
    told = eslab(
        "run", "scenarios/quick.yaml", "--stores", "null,memory", *QUICKLY, "--out", tmp_path
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "appends without expected versions: the store has none" in told.stdout
    trials = results.load(the_run(tmp_path)).trials.set_index("key")
    assert set(trials["status"]) == {"done"}
    assert "without-versions" in trials.loc["null", "flags"]
    assert "without-versions" not in trials.loc["memory", "flags"]
    assert trials.loc["null", "versioned_appends"] == 0
    assert trials.loc["memory", "versioned_appends"] == trials.loc["memory", "ok"] > 0


def test_unsupported_is_said_and_is_no_failure(tmp_path):
    told = eslab(
        "run", "scenarios/hot-streams.yaml", "--stores", "null", *QUICKLY, "--out", tmp_path
    )
    trials = results.load(the_run(tmp_path)).trials
    assert set(trials["status"]) == {"unsupported"}
    assert told.returncode == 0


def start_and_wait_for_a_trial(out):
    """The running lab, its first trial on disk and its second in progress."""
    process = subprocess.Popen(
        [*ESLAB, "run", "scenarios/quick.yaml", "--stores", "sqlite,postgres", "--repeat", "20",
         "--set", "warm_up_s=0.1", "--set", "duration_s=1", *AT_LEISURE, "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    for line in process.stdout:
        if "  postgres" in line and "verified" in line:
            break
    return process


def children_of(process):
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes, within_s=15):
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    return not alive


def test_ctrl_c_keeps_finished_trials_marks_the_running_one_and_stops_the_servers(tmp_path):
    process = start_and_wait_for_a_trial(tmp_path)
    servers = children_of(process)
    assert servers
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    run = results.load(the_run(tmp_path))
    assert run.manifest["status"] == "aborted"
    assert "done" in set(run.trials["status"])
    assert list(run.trials["status"])[-1] == "aborted"
    assert gone(servers)
    assert not list(tmp_path.glob(".scratch-*"))


def test_killing_the_lab_ends_its_servers_and_leaves_finished_trials_readable(tmp_path):
    process = start_and_wait_for_a_trial(tmp_path)
    servers = children_of(process)
    process.kill()
    process.wait()
    process.stdout.close()
    assert gone(servers)
    (partial,) = tmp_path.glob(".partial-*")
    run = results.load(partial)
    assert run.manifest["status"] == "running"
    assert (run.trials["status"] == "done").all()
    assert len(run.trials) >= 2


def test_a_refused_connection_is_one_line_and_exit_code_4(tmp_path):
    env = os.environ | {"ESLAB_POSTGRES_DSN": "postgresql://lab:hunter2secret@127.0.0.1:1/lab"}
    told = eslab(
        "run", "scenarios/quick.yaml", "--stores", "postgres", *QUICKLY, "--out", tmp_path, env=env
    )
    assert told.returncode == 4
    assert "hunter2secret" not in told.stdout + told.stderr
    assert "Traceback" not in told.stderr


def test_a_full_disk_is_one_line_and_finished_trials_stay_readable(tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "eslab-test", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip("needs the right to mount a small tmpfs (root)")
    try:
        told = eslab(
            "run", "scenarios/quick.yaml", "--stores", "memory", "--repeat", "30",
            "--set", "warm_up_s=0", "--set", "operations=5000", *SMALL_EVENTS, "--out", tmp_path,
        )  # fmt: skip
        assert told.returncode == 1
        assert told.stderr.count("\n") == 1
        assert "the disk is full" in told.stderr
        (run,) = [path for path in tmp_path.iterdir() if not path.name.startswith(".scratch")]
        trials = results.load(run).trials
        assert len(trials) >= 1
        assert (trials["status"] == "done").any()
    finally:
        # Lazily: on a busy machine the kernel may still count somebody as inside.
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)
