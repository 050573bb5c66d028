"""`load.processes`: one load over several worker processes, on real stores."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from operator import itemgetter

import numpy as np
import psutil
import pytest

from harness import results
from harness.cli.shared import catalogue
from harness.domain.placement import cores_text
from harness.run import benchmark
from harness.run.worker_allocation import FULL_SHARE, Machine
from harness.scenario import Overrides, load

from .command import eslab, the_run

APPENDS = """
name: shared
stores: [memory]
workload: append
load: {{{load}, processes: {processes}}}
streams: {{count: 20, prefill: 3}}
events: {{size_bytes: 64}}
warm_up_s: 0.2
{length}
"""


def scenario_of(tmp_path, load="closed: {workers: 6}", processes=2, length="duration_s: 0.6"):
    scenario = tmp_path / "shared.yaml"
    scenario.write_text(APPENDS.format(load=load, processes=processes, length=length))
    return scenario


def run_of(tmp_path, stores, **scenario):
    told = eslab(
        "run", scenario_of(tmp_path, **scenario), "--stores", stores, "--out", tmp_path / "results"
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return results.load(the_run(tmp_path / "results"))


def assert_clients_are_shared_by_two(run, trial):
    assert (trial["processes"], trial["verified"]) == (2, "ok")
    assert trial["balanced"]
    operations = run.samples(trial["trial_id"])
    operations = operations[operations["op"] >= 0]
    assert set(operations["worker"]) == set(range(6))
    assert operations["op"].is_unique
    assert set(operations["op"] % 2) == {0, 1}
    assert (operations["op"] % 2 == operations["worker"] % 2).all()
    assert 0 < trial["busiest_worker_cpu_s"] < trial["generator_cpu_s"]
    assert not list((run.path / "logs").glob("*")), "processes that had nothing to say left no log"


def test_two_processes_share_the_clients_and_a_number_of_operations_to_the_last_one(tmp_path):
    run = run_of(tmp_path, "sqlite", length="operations: 301")
    (trial,) = run.trials.to_dict("records")
    assert_clients_are_shared_by_two(run, trial)
    assert (trial["scheduled"], trial["ok"]) == (301, 301)


def test_an_open_load_is_dealt_round_and_keeps_every_intended_time(tmp_path):
    load = "open: {rate_per_s: 300, arrivals: uniform}"
    run = run_of(tmp_path, "sqlite", load=load, length="operations: 200")
    (trial,) = run.trials.to_dict("records")
    operations = run.samples(trial["trial_id"]).set_index("op").loc[lambda rows: rows.index >= 0]
    assert list(operations.sort_index().index) == list(range(200))
    intended = operations.sort_index()["intended_ns"].to_numpy()
    assert np.diff(intended) == pytest.approx(1e9 / 300, abs=2)


def test_counted_costs_do_not_depend_on_the_number_of_processes(tmp_path):
    length = "operations: 1000\nvary: {load.processes: [1, 2]}"
    run = run_of(tmp_path, "postgres", length=length)
    found = {trial["processes"]: trial for trial in run.trials.to_dict("records")}
    assert_clients_are_shared_by_two(run, found[2])
    for column in ("commits_per_event", "round_trips_per_event"):
        assert found[1][column] == 1.0
        assert found[2][column] == pytest.approx(1.0, abs=0.01)  # a retry on a busy machine
    log_bytes = [found[processes]["log_bytes_per_event"] for processes in (1, 2)]
    assert log_bytes[1] == pytest.approx(log_bytes[0], rel=0.05)


def test_subscribers_get_what_all_processes_write_and_a_store_with_one_writer_refuses_them(
    tmp_path,
):
    scenario = scenario_of(tmp_path)
    scenario.write_text(scenario.read_text().replace("workload: append", "workload: subscribe"))
    told = eslab("run", scenario, "--stores", "memory,sqlite", "--out", tmp_path / "results")
    assert told.returncode == 0, told.stdout + told.stderr
    trials = results.load(the_run(tmp_path / "results")).trials.set_index("key")
    assert trials.loc["memory", "status"] == "unsupported"
    assert "2 worker processes: memory declares one writer" in trials.loc["memory", "message"]
    sqlite = trials.loc["sqlite"]
    assert sqlite["verified"] == "ok"
    assert sqlite["delivery_count"] == sqlite["events"] > 0


def test_more_processes_than_clients_are_refused_with_the_place(tmp_path):
    told = eslab("run", scenario_of(tmp_path, processes=7), "--out", tmp_path / "results")
    assert told.returncode == 2
    assert "shared.yaml:5" in told.stderr
    assert "at most a process a client" in told.stderr


def started(tmp_path):
    """A run in the background, and its worker processes once they are at work."""
    path = scenario_of(tmp_path, length="duration_s: 90")
    command = [sys.executable, "-m", "harness", "run", path, "--stores", "sqlite"]
    run = subprocess.Popen(
        [*command, "--out", tmp_path / "results"], stdout=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 90
    while time.monotonic() < until:
        workers = []
        for child in psutil.Process(run.pid).children():
            with suppress(psutil.NoSuchProcess):  # one that has ended meanwhile
                workers += [child] * ("spawn_main" in " ".join(child.cmdline()))
        if len(workers) == 2 and all(each.cpu_times().user > 0.5 for each in workers):
            return run, workers
        time.sleep(0.3)
    run.kill()
    raise AssertionError("two worker processes did not get to work")


def test_a_worker_that_dies_makes_the_trial_failed_with_its_last_words(tmp_path):
    run, workers = started(tmp_path)
    workers[1].kill()
    output, _ = run.communicate(timeout=20)
    assert run.returncode == 1, output
    (trial,) = results.load(the_run(tmp_path / "results")).trials.to_dict("records")
    assert trial["status"] == "failed"
    assert "of 2 ended (SIGKILL): no output" in trial["message"]
    assert not any(worker.is_running() for worker in workers)


def test_ctrl_c_ends_the_processes_and_leaves_the_folder_finished(tmp_path):
    run, workers = started(tmp_path)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=20)
    assert run.returncode == 130
    folder = the_run(tmp_path / "results")
    assert json.loads((folder / "manifest.json").read_text())["status"] == "aborted"
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive


@pytest.mark.skipif(psutil.cpu_count() < 2, reason="one core cannot be shared out")
def test_pinned_sides_stay_on_their_own_cores(tmp_path):
    scenario, every = scenario_of(tmp_path, length="duration_s: 0.5"), os.sched_getaffinity(0)
    command = [sys.executable, "-m", "harness", "run", scenario, "--stores", "postgres,sqlite"]
    words = ["--pin", "--servers", "native", "--out", tmp_path / "results"]
    run = subprocess.Popen([*command, *words], stdout=subprocess.DEVNULL)
    seen = {"generator": set(), "server": set()}
    while run.poll() is None:
        for each in psutil.Process(run.pid).children(recursive=True):
            with suppress(psutil.Error):
                if "spawn_main" in " ".join(each.cmdline()):
                    seen["generator"].add(frozenset(each.cpu_affinity()))
                if each.name() == "postgres":
                    seen["server"].add(frozenset(each.cpu_affinity()))
        time.sleep(0.1)
    assert run.returncode == 0
    told = results.load(the_run(tmp_path / "results"))
    placed = told.manifest["placement"]
    assert (placed["asked"], placed["apart"], placed["pinned"]) == ("on", True, ["postgres"])
    assert told.manifest["environment"]["cpu"]["affinity"] == sorted(every)
    assert placed["why"].endswith("; no server, every core: sqlite")
    generator, server = (frozenset(placed[f"{side}_cores"]) for side in ("generator", "server"))
    assert seen == {"generator": {generator, frozenset(every)}, "server": {server}}
    assert not generator & server
    rows = told.trials.set_index("key")[["generator_cores", "server_cores"]]
    assert tuple(rows.loc["postgres"]) == (cores_text(generator), cores_text(server))
    assert tuple(rows.loc["sqlite"]) == (cores_text(every), "")
    (postgres, sqlite) = sorted(told.manifest["processes"], key=itemgetter("key"))
    assert postgres["processes"] == sqlite["processes"] == 2
    assert postgres["one_is_full_at_per_s"] > 0
    assert "one_is_full_at_per_s" not in sqlite, "its own work is in the same process"


class Quiet:
    """Watches a run and keeps its lines."""

    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)

    def began(self, *_):
        pass

    ticked = ended = began


def test_auto_tries_a_server_before_it_takes_a_number_and_keeps_that(tmp_path):
    """As on four cores, whatever this machine has."""
    length = "duration_s: 0.3"
    path = scenario_of(tmp_path, "closed: {workers: 2}", processes="auto", length=length)
    scenario = load(path, catalogue(), overrides=Overrides(stores="postgres,sqlite", repeat=2))
    request = benchmark.Request(
        scenario, catalogue(), tmp_path / "results", way="native", pin="off",
        machine=Machine(tuple(range(4))),
    )  # fmt: skip
    quiet = Quiet()
    run = results.load(asyncio.run(benchmark.run(request, quiet)).folder)
    told = {each["key"]: each for each in run.manifest["processes"]}
    tried = told["postgres"]["auto"]["tried"]
    assert [use["processes"] for use in tried] == [1, 2][: len(tried)]
    assert [use["core_share"] > FULL_SHARE for use in tried[:-1]] == [True] * (len(tried) - 1)
    assert told["sqlite"]["auto"]["tried"] == []
    for key, taken in (("postgres", tried[-1]["processes"]), ("sqlite", 1)):
        assert told[key]["processes"] == told[key]["auto"]["processes"] == taken
        assert set(run.trials.loc[run.trials["key"] == key, "processes"]) == {taken}
        (line,) = [each for each in quiet.lines if each.startswith(f"{key}: processes")]
        assert line == f"{key}: processes {taken} (auto): {told[key]['auto']['why']}"
