"""A server killed in mid-trial: what was not answered is counted, and resolved after a restart."""

import subprocess
import time

import psutil
import pytest

from harness import results
from harness.servers import probe

from .command import ESLAB, ROOT, SMALL_EVENTS, the_run

MEASURED_S = 4
WARM_UP_S = {"postgres": 1, "kafka": 5}
"""No shorter than the server's own."""
TRIES = 3
"""On a busy machine the kill may come before anything was measured."""
LOADS = {"postgres": "load.closed.workers=8", "kafka": "load={open: {rate_per_s: 100}}"}
"""What is on its way when Kafka's one process stops is what was sent meanwhile."""
PROGRAMS = {"postgres": "postgres", "kafka": "java"}


def start(store, warm_up_s, out):
    """The running lab: one trial of one store."""
    return subprocess.Popen(
        [*ESLAB, "run", "scenarios/quick.yaml", "--stores", store, "--servers", "native",
         "--repeat", "1", "--set", f"warm_up_s={warm_up_s}", "--set", f"duration_s={MEASURED_S}",
         "--set", LOADS[store], *SMALL_EVENTS, "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def wait_until_it_measures(lab, warm_up_s, out, within_s=90):
    """Raw samples have a file from the moment a trial begins, and then it warms up."""
    give_up = time.monotonic() + within_s
    while not list(out.glob(".partial-*/samples/*")):
        assert lab.poll() is None, lab.stdout.read()
        assert time.monotonic() < give_up, "no trial has begun"
        time.sleep(0.2)
    time.sleep(warm_up_s + MEASURED_S / 2)


def server_of(lab, technology):
    """The first process of the server: its parent is the lab's, not the server's own."""
    started = psutil.Process(lab.pid).children(recursive=True)
    return next(each for each in started if each.name() == PROGRAMS[technology])


def kill_with_requests_on_their_way(server):
    """Deaf for a moment first: else all may have been answered while the client had no core."""
    server.suspend()
    time.sleep(0.3)
    server.kill()


def killed_in_mid_trial(store, technology, out):
    warm_up_s = WARM_UP_S[technology]
    lab = start(store, warm_up_s, out)
    wait_until_it_measures(lab, warm_up_s, out)
    kill_with_requests_on_their_way(server_of(lab, technology))
    output, _ = lab.communicate(timeout=120)
    unwanted = ("Traceback", "Exception", "Task was destroyed")
    assert not any(word in output for word in unwanted), output
    trial = results.load(the_run(out)).trials.iloc[0]
    assert trial["status"] == "done", output
    assert trial["balanced"]
    return trial


@pytest.mark.parametrize("store", ["postgres", "kafka"])
def test_a_server_killed_in_mid_trial_leaves_counted_outcomes_and_none_unresolved(store, tmp_path):
    technology = store.partition(":")[0]
    available = probe(technology, "native")
    if not available.ready:
        pytest.skip(available.detail)
    for number in range(TRIES):
        trial = killed_in_mid_trial(store, technology, tmp_path / str(number))
        if trial["ok"] > 0:
            break
    assert trial["ok"] > 0
    unanswered = trial["unknown"] + trial["timeout"]
    assert trial["unknown"] >= 1
    assert "restarted" in trial["message"]
    assert 1 <= trial["unknown_written"] + trial["unknown_lost"] <= unanswered
    assert trial["verified"] in ("ok", "findings")
    assert trial["declared_violations"] == 0, trial["violation_list"]
