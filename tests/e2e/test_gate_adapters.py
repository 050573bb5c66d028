"""Two commits of a repository that is not the lab: each side runs its own code, or is refused.

What a gate finds of a round trip more is in `test_ci`, where the action gates such a repository.
"""

from __future__ import annotations

import os
import shutil

import pytest

from harness import results
from tests.adapter_repository import adapter_repository, git

from .command import ROOT, SMALL_EVENTS, eslab, the_run
from .test_compare import one_line


@pytest.fixture
def project(tmp_path):
    return adapter_repository(tmp_path / "mine")


def installed(tmp_path, code):
    """An environment in which the package is installed in place: what is at `code` is imported."""
    about = tmp_path / "site" / "mine_store-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine-store\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[eslab.stores]\nmine = mine_store:STORE\n")
    path = os.pathsep.join(map(str, (tmp_path / "site", code, ROOT)))
    return os.environ | {"PYTHONPATH": path}


def gate(tmp_path, project, *arguments, command="gate", code=None):
    """With the package installed from `code`, the project itself if it is left out."""
    env = installed(tmp_path, code or project)
    return eslab(
        command, project / "bench" / "orders.yaml", "--project", project, "--base-ref", "main",
        "--pairs", 2, "--out", tmp_path / "out", *arguments, env=env,
    )  # fmt: skip


def test_a_round_trip_less_is_no_regression(tmp_path, project):
    """Both commits are offered the same rate, a fraction of what the base was capable of."""
    refs = ("--base-ref", "worse", "--candidate-ref", "main")
    offered = ("--set", "load={open: {of_capacity: 0.3}}", "--set", "operations=null")
    short = ("--set", "duration_s=0.2", *SMALL_EVENTS)
    told = gate(tmp_path, project, *refs, *offered, *short, "--json")
    assert told.returncode == 0, told.stdout + told.stderr
    assert '"verdict": "improved"' in told.stdout
    trials = results.load(the_run(tmp_path / "out")).trials
    assert len(trials) == 4
    assert trials["rate_per_s"].nunique() == 1


def test_a_store_of_the_lab_beside_the_adapter_is_told_to_be_the_same_code(tmp_path, project):
    told = gate(tmp_path, project, "--stores", "mine,sqlite", "--dry-run")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("! sqlite: not of this project, so the same code on both sides\n")


def test_a_project_that_brings_none_of_the_stores_is_refused(tmp_path, project):
    refs = ("--candidate-ref", "worse")
    told = gate(tmp_path, project, "--stores", "sqlite", *refs, command="ab")
    assert "is not the lab and brings none of these stores (sqlite)" in one_line(told, 3)
    assert not (tmp_path / "out").exists()


def test_a_base_that_would_run_what_is_installed_is_refused(tmp_path, project):
    """As in a repository that keeps its packages in a folder which only an install knows."""
    git(project, "checkout", "--quiet", "main")
    git(project, "rm", "--quiet", "mine_store.py")
    git(project, "commit", "--quiet", "-m", "not yet there")
    git(project, "checkout", "--quiet", "worse")
    told = one_line(gate(tmp_path, project), 3)
    assert f"main: mine would be that of {project / 'mine_store.py'}, not of this commit" in told
    assert not (tmp_path / "out").exists()


def test_a_project_whose_package_lies_elsewhere_is_refused(tmp_path, project):
    """Both sides would run the one that is installed."""
    git(project, "checkout", "--quiet", "main")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(project / "mine_store.py", elsewhere)
    git(project, "rm", "--quiet", "mine_store.py")
    git(project, "commit", "--quiet", "-m", "moved away")
    told = gate(tmp_path, project, code=elsewhere)
    assert "brings none of these stores (mine)" in one_line(told, 3)


def test_an_adapter_that_is_not_installed_is_said_to_need_it(tmp_path, project):
    told = eslab("gate", project / "bench" / "orders.yaml", "--base-ref", "main",
                 "--project", project, "--out", tmp_path / "out")  # fmt: skip
    assert "unknown store 'mine'" in one_line(told, 2)
    assert "to use your own, install its package in the lab's environment" in told.stderr
