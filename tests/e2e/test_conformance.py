"""`eslab conformance` as a user meets it: matrix, exit codes, and one line for bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import psutil
import pytest

from harness.conformance import all_checks
from harness.domain.errors import BadInput
from harness.results import newest

from .command import ESLAB, QUICKLY, ROOT, eslab, the_run

FEW = ["--checks", "1,7,18", "--seconds", "0.2"]


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """A run of a few checks on two stores, as it ended, and where it lies."""
    out = tmp_path_factory.mktemp("checked")
    return eslab("conformance", "--stores", "memory,sqlite", *FEW, "--out", out), out


def test_the_matrix_is_printed_and_kept_in_a_run_folder(checked):
    done, out = checked
    assert done.returncode == 0, done.stderr
    assert "an update of an event is refused" in done.stdout
    found = json.loads((the_run(out) / "conformance.json").read_text())
    assert [store["store"] for store in found["stores"]] == ["memory", "sqlite"]
    words = {each["word"] for store in found["stores"] for each in store["results"]}
    assert words == {"holds"}
    manifest = json.loads((the_run(out) / "manifest.json").read_text())
    assert (manifest["kind"], manifest["status"]) == ("conformance", "done")


def test_a_run_of_checks_is_told_apart_from_a_run_of_trials(checked):
    _, out = checked
    done = eslab("show", the_run(out))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "a run of checks; its matrix is in conformance.json" in done.stderr
    with pytest.raises(BadInput, match="no run in"):
        newest(out)


def test_json_alone_goes_to_standard_output(tmp_path):
    done = eslab("conformance", "--stores", "memory", *FEW, "--out", tmp_path, "--json")
    told = json.loads(done.stdout)
    assert told["exit_code"] == 0
    assert [each["number"] for each in told["checks"]] == [1, 7, 18]


def test_what_was_found_before_an_interruption_is_kept(tmp_path):
    process = subprocess.Popen(
        [*ESLAB, "conformance", "--stores", "memory", "--seconds", "20", "--out", str(tmp_path)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    while process.poll() is None and psutil.Process(process.pid).cpu_times().user < 3:
        time.sleep(0.1)  # imports take half of these seconds
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    run = the_run(tmp_path)
    assert f"kept, as far as it came: {run}" in said
    assert json.loads((run / "manifest.json").read_text())["status"] == "aborted"
    (memory,) = json.loads((run / "conformance.json").read_text())["stores"]
    assert 0 < len(memory["results"]) < 50


HALFWAY = """
from dataclasses import replace
from harness.stores.memory import STORE as MEMORY
from harness.stores.memory.store import MemoryStore

class Halfway(MemoryStore):
    async def setup(self):
        raise KeyError("no such table")

STORE = replace(MEMORY, name="halfway", variants={"": Halfway})
"""


def test_a_store_whose_setup_fails_costs_its_own_column_alone(tmp_path):
    (tmp_path / "halfway_store.py").write_text(HALFWAY)
    about = tmp_path / "halfway-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: halfway\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[eslab.stores]\nhalfway = halfway_store:STORE\n")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    out = tmp_path / "runs"
    done = eslab("conformance", "--stores", "halfway,memory", *FEW, "--out", out, env=env)
    assert done.returncode == 1, done.stderr
    assert "halfway: setup failed: KeyError: 'no such table'" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    (memory,) = json.loads((the_run(out) / "conformance.json").read_text())["stores"]
    assert (memory["store"], len(memory["results"])) == ("memory", 3)
    alone = eslab("conformance", "--stores", "halfway", *FEW, "--out", tmp_path / "n", env=env)
    assert alone.returncode == 1
    assert alone.stderr.startswith("eslab: nothing was checked: halfway: setup failed")


def test_a_check_that_could_not_be_provoked_says_why(tmp_path):
    done = eslab("conformance", "--stores", "memory", "--checks", "26", "--out", tmp_path)
    assert done.returncode == 0
    assert "? memory 26 not reached: the store lives in the lab's own process" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--checks", "9,77"], "--checks: no check '77'; expected numbers of 1–57, 61–68"),
        (["--checks", "nine"], "--checks: no check 'nine'; expected numbers of 1–57, 61–68"),
        (["--checks", ","], "--checks: no check ''; expected numbers of 1–57, 61–68"),
        (
            ["--checks", "53-51"],
            "--checks: '53-51' is no range: its first number is the larger one",
        ),
        (["--checks", "51-99"], "--checks: no check '99'; expected numbers of 1–57, 61–68"),
        (["--explain", "0"], "--explain: no check '0'; expected numbers of 1–57, 61–68"),
        (["--profile", "slow"], "--profile: no profile 'slow'; allowed: fast, full"),
        (["--stores", "memry"], "unknown store 'memry'"),
        (["--servers", "nearby"], "no way 'nearby' to get servers"),
    ],
)
def test_bad_input_is_one_line(arguments, told, tmp_path):
    done = eslab("conformance", *arguments, "--out", tmp_path / "none")
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "none").exists()


def test_explain_says_what_a_check_promises_provokes_and_leaves():
    told = eslab("conformance", "--explain", "9").stdout
    for word in ("promise", "provokes", "evidence", "gap_free_read", "Ordered"):
        assert word in told


def test_a_dry_run_starts_nothing(tmp_path):
    done = eslab("conformance", "--dry-run", "--out", tmp_path / "none")
    assert done.stdout.startswith("65 checks on each of memory, sqlite, postgres")
    assert not (tmp_path / "none").exists()


def test_all_checks_are_listed_with_their_promise():
    rows = json.loads(eslab("list", "checks", "--json").stdout)
    assert sorted(each["check"] for each in rows) == [*range(1, 58), *range(61, 69)]
    assert all(each["promise"].endswith(".") for each in rows)


def test_every_check_says_what_it_is_about():
    for each in all_checks().values():
        assert each.promise
        assert each.provokes
        assert each.leaves


def test_a_scenario_that_asks_for_it_is_checked_after_its_trials(tmp_path):
    more = ["--set", "verify=conformance", "--stores", "memory", "--out", tmp_path]
    done = eslab("run", "scenarios/quick.yaml", *QUICKLY, *more)
    assert done.returncode == 0, done.stderr
    found = json.loads((the_run(tmp_path) / "conformance.json").read_text())
    (memory,) = found["stores"]
    assert len(memory["results"]) == len(all_checks())
    assert (the_run(tmp_path) / "trials.parquet").exists()
