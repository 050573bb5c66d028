"""A report that cannot be made: one line, its exit code, and what was there before is untouched."""

from __future__ import annotations

import json
import os

import pytest

from tests.made_run import SQLITE, Made, made_run

from .command import ROOT, eslab

OLD = "what was there before"


@pytest.fixture
def run(tmp_path):
    """A run that has been reported."""
    made = Made((SQLITE,), repetitions=1, operations=200, keep_samples=False)
    folder = made_run(tmp_path, made)
    (folder / "notebooks").mkdir()
    for path in (folder / "report.html", folder / "notebooks" / "history.ipynb"):
        path.write_text(OLD)
    return folder


def refused(run, *flags, **names):
    """The one line that was said, with exit code 2, once it is known that nothing was written."""
    told = eslab("report", run, *flags, env=os.environ | {"PYTHONPATH": str(ROOT)} | names)
    assert told.returncode == 2, told.stderr
    assert told.stdout == ""
    assert (run / "report.html").read_text() == OLD
    assert [path.read_text() for path in (run / "notebooks").iterdir()] == [OLD]
    (line,) = told.stderr.splitlines()
    return line


def test_a_damaged_history_beside_the_run(run):
    history = run.parent / "history.csv"
    history.write_text("abc\n")
    assert refused(run, "--notebooks").startswith(f"eslab: {history}: not a history of this lab")


def test_another_run_that_is_none(run):
    line = refused(run, "--notebooks", OTHERS="nowhere")
    assert line.endswith("nowhere: not a run folder; it has no manifest.json")


@pytest.mark.parametrize("flags", [(), ("--notebooks",)])
def test_a_requirement_that_is_none(run, flags):
    path = run / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["scenario"]["require"] = {"occ": "sometimes"}
    path.write_text(json.dumps(manifest))
    assert "scenario.require.occ: expected none or emulated or native" in refused(run, *flags)
