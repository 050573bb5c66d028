"""Clients that go on, on a server that crashes and recovers by itself in mid-trial."""

from __future__ import annotations

import subprocess

import psutil
import pytest

from harness import results
from harness.servers import probe

from .command import ESLAB, QUICKLY, ROOT, eslab, the_run
from .test_server_killed import TRIES, server_of, wait_until_it_measures

READY = probe("postgres", "native")
SCENARIO = """
name: going-on
stores: [postgres]
workload: {{name: retry, unknown: {unknown}}}
load: {{closed: {{workers: 4}}}}
events: {{size_bytes: 64}}
streams: {{count: 100}}
warm_up_s: 1
duration_s: 4
repetitions: 1
"""
AUXILIARY = (
    "archiver", "autovacuum", "background", "checkpointer", "io worker", "logger", "logical",
    "startup", "walwriter",
)  # fmt: skip


def a_client_of(server: psutil.Process) -> psutil.Process:
    """A process that serves a client: at its violent end the server throws all others out."""
    titles = {each: " ".join(each.cmdline()) for each in server.children()}
    return next(
        each for each, title in titles.items() if title and not any(a in title for a in AUXILIARY)
    )


def crashed_in_mid_trial(file, out):
    lab = subprocess.Popen(
        [*ESLAB, "run", str(file), "--servers", "native", "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until_it_measures(lab, 1, out)
    a_client_of(server_of(lab, "postgres")).kill()
    output, _ = lab.communicate(timeout=120)
    trial = results.load(the_run(out)).trials.iloc[0]
    assert trial["status"] == "done", output
    assert trial["verified"] == "ok", output
    return trial


@pytest.mark.skipif(not READY.ready, reason=f"native postgres: {READY.detail}")
@pytest.mark.parametrize("unknown", ["again", "read"])
def test_a_crash_that_breaks_every_connection_leaves_nothing_unknown(unknown, tmp_path):
    file = tmp_path / "going-on.yaml"
    file.write_text(SCENARIO.format(unknown=unknown))
    for number in range(TRIES):
        trial = crashed_in_mid_trial(file, tmp_path / f"results-{number}")
        assert trial["ok"] == trial["scheduled"] > 0
        assert trial["unknown_written"] == trial["unknown_lost"] == trial["given_up"] == 0
        doubts = trial["settled_by_answer"] + trial["settled_by_reading"]
        assert (trial["unknown_attempts"] > 0) == (doubts > 0)
        if trial["appended_again"] > 0:
            return
    pytest.fail(f"nothing had to be appended again in {TRIES} crashes")


def test_a_store_that_gives_no_ids_back_has_nothing_to_look_for(tmp_path):
    told = eslab(
        "run", "scenarios/quick.yaml", "--stores", "null,memory", *QUICKLY, "--out", tmp_path,
        "--set", "workload.name=retry", "--set", "workload.expected=any",
        "--set", "workload.unknown=read",
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    trials = results.load(the_run(tmp_path)).trials.set_index("key")
    assert trials["status"].to_dict() == {"null": "unsupported", "memory": "done"}
    assert trials.loc["memory", "unknown_attempts"] == 0
