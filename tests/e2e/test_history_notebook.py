"""The history notebook, executed: on real runs, and on rows made up to change for good."""

from __future__ import annotations

import os
import shutil

import pandas as pd
import pytest

from harness.analysis.trends import read
from harness.analysis.trends.changes import VARIABLE
from harness.render.report.executing import executed
from harness.render.report.writing import notebook_path

from .command import SMALL_EVENTS, eslab, the_run

RUNS, STEP_AT = 30, 18
NO_OTAVA = "/nowhere/otava"


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Two real runs of the memory store in one file."""
    folder = tmp_path_factory.mktemp("history")
    for number in range(2):
        made = eslab(
            "run", "scenarios/quick.yaml", "--stores", "memory", "--repeat", 1,
            "--set", "operations=200", "--set", "warm_up_s=0", *SMALL_EVENTS,
            "--out", folder / str(number),
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        added = eslab(
            "history", "add", the_run(folder / str(number)), "--file", folder / "history.csv"
        )
        assert added.returncode == 0, added.stderr
    return folder / "history.csv"


def outputs(history, monkeypatch, otava):
    """What the cells say, and how many figures they draw."""
    monkeypatch.setenv("HISTORY", str(history))
    monkeypatch.setenv(VARIABLE, otava)
    notebook = executed([notebook_path("history")], history.parent)["history"]
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    data = [out.get("data", {}) for cell in cells for out in cell.outputs]
    said = " ".join(each.get("text/plain", "") for each in data)
    return said, sum("image/png" in each or "image/svg+xml" in each for each in data)


def test_real_runs_are_drawn_also_where_otava_is_not(history, monkeypatch):
    said, figures = outputs(history, monkeypatch, NO_OTAVA)
    assert "2 rows in history.csv" in said
    assert "pipx install apache-otava" in said
    assert figures == 1


def test_rows_made_up_to_change_for_good_have_their_change_point(history, tmp_path, monkeypatch):
    otava = shutil.which(os.environ.get(VARIABLE) or "otava")
    if otava is None:
        pytest.skip(f"Apache Otava is not here: pipx install apache-otava, or {VARIABLE}")
    rows = pd.concat([read(history).iloc[[0]]] * RUNS, ignore_index=True)
    rows["run"] = [f"20260101-{number:06}-made-up" for number in range(RUNS)]
    rows["time"] = [f"2026-01-{number + 1:02}T00:00:00+00:00" for number in range(RUNS)]
    rows["throughput"] = [
        1000 * (1 + 0.01 * (number % 3)) * (0.7 if number >= STEP_AT else 1.0)
        for number in range(RUNS)
    ]
    made_up = tmp_path / "history.csv"
    rows.to_csv(made_up, index=False)
    said, figures = outputs(made_up, monkeypatch, otava)
    assert "change points of 5 % or more: 1" in said
    assert figures == 1
