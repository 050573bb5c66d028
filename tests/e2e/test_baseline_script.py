"""The script behind `make baseline`, in a copy of the checkout, with a run as small as can be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import nbformat
import pytest

from harness import results
from harness.analysis import trends
from harness.render.report.writing import NOTEBOOKS
from tests.warm_commands import warm_commands

from .command import ROOT, eslab

pytestmark = pytest.mark.starts_first
TINY = (
    "--stores", "memory", "--repeat", "2", "--set", "verify=true", "--set", "duration_s=0.2",
    "--set", "warm_up_s=0.05",
)  # fmt: skip

TROUBLE = [{"at_s": 0.05, "pause": "server", "for_s": 0.05}]
"""Not reached in a store without a server, which the notebook says."""


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    """What the script makes, its repetitions as they are."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("scenarios", "scripts"):
        shutil.copytree(ROOT / name, copy / name)
    (copy / "results" / "baseline").mkdir(parents=True)
    (copy / "results" / "baseline" / "old").touch()
    told = subprocess.run(
        ["scripts/baseline.sh", *TINY],
        cwd=copy,
        env={
            **os.environ,
            "ESLAB": " ".join(warm_commands().words),
            "RULES": "memory:boundary",
            "TROUBLE": f"--set faults={json.dumps(TROUBLE, separators=(',', ':'))}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert [path.name for path in (copy / "results").iterdir()] == ["baseline"]
    return copy / "results" / "baseline"


def said(baseline, name):
    """Everything that an executed notebook shows, as one text, and how many figures."""
    notebook = nbformat.read(baseline / "notebooks" / f"{name}.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [out for cell in cells for out in cell.outputs]
    text = " ".join(out.get("text", "") + json.dumps(out.get("data", {})) for out in shown)
    return text, sum("image/svg+xml" in out.get("data", {}) for out in shown)


def test_the_runs_keep_their_small_files_alone(baseline):
    assert {path.name for path in baseline.iterdir()} == {
        "bad-day", "boundary-contention", "history.csv", "hot-streams", "intervals.parquet",
        "latency.hlog", "manifest.json", "notebooks", "report.html", "subscribe-latency",
        "trials.parquet",
    }  # fmt: skip
    for name in ("bad-day", "hot-streams", "boundary-contention", "subscribe-latency"):
        assert results.load(baseline / name).manifest["scenario"]["name"] == name
        assert all(path.is_file() for path in (baseline / name).iterdir())


def test_the_executed_notebooks_are_kept_with_their_outputs(baseline):
    for name in NOTEBOOKS:
        notebook = nbformat.read(baseline / "notebooks" / f"{name}.ipynb", as_version=4)
        nbformat.validate(notebook)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells)
        assert any(cell.outputs for cell in cells)


def test_each_notebook_has_something_to_show(baseline):
    for name in NOTEBOOKS:
        text, _ = said(baseline, name)
        for missing in ("samples were not kept", "No trial", "varied nothing", "no history",
                        "requires nothing", "kept its samples"):  # fmt: skip
            assert missing not in text, name


def test_conflicts_and_response_times_come_from_the_runs_beside_it(baseline):
    contention, figures = said(baseline, "contention")
    assert "hot-streams" in contention
    assert "conflicts an op" in contention
    assert figures == 1
    boundaries, figures = said(baseline, "boundaries")
    assert "boundary-contention" in boundaries
    assert "false an op" in boundaries
    assert figures == 1
    latency, _ = said(baseline, "latency")
    assert "Response time over time" in latency
    assert "Service time over time" in latency


def test_the_history_has_every_run_of_the_same_scenario(baseline):
    rows = trends.read(baseline / "history.csv")
    assert list(rows["key"]) == ["memory"] * 4
    text, figures = said(baseline, "history")
    assert "4 rows in history.csv" in text
    assert figures == 1


def test_the_baseline_can_be_reported_again(baseline):
    told = eslab("report", baseline)
    assert told.returncode == 0, told.stderr
