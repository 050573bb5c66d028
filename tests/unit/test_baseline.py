"""The run that is committed: real, small, readable, and nobody's machine can be told from it."""

from __future__ import annotations

import html
import json
import re
import socket
from pathlib import Path

import nbformat
import pytest

from harness import results
from harness.analysis import summary, trends
from harness.domain.faults import FaultKind
from harness.render.report.writing import NOTEBOOKS
from harness.scenario import load

from .scenarios import CATALOGUE, SHIPPED

BASELINE = Path(__file__).parents[2] / "results" / "baseline"
MOST_BYTES = 3_500_000
PLACES = re.compile(rb"/(?:tmp|root|home|Users|work|var|opt)/[\w.-]+|[A-Z]:\\\\Users")
ADDRESSES = re.compile(rb"\b(?!127\.0\.0\.1\b)(?:10|172|192)\.\d{1,3}\.\d{1,3}\.\d{1,3}\b")

FILES = sorted(path for path in BASELINE.rglob("*") if path.is_file())
RUNS = sorted(path.parent for path in BASELINE.rglob("manifest.json"))
"""The baseline itself, and the smaller runs inside it that its notebooks show, too."""
BESIDE = ("bad-day", "boundary-contention", "hot-streams", "subscribe-latency")
"""Runs inside the baseline: faults, conflicts and response times."""
HISTORY_RUNS_MIN = 3

each_run = pytest.mark.parametrize("folder", RUNS, ids=lambda path: path.name)


@pytest.fixture(scope="module")
def run():
    return results.load(BASELINE)


@each_run
def test_every_trial_is_valid_and_comes_from_a_commit(folder):
    run = results.load(folder)
    assert run.manifest["status"] == "done"
    assert run.trials["valid"].all()
    assert len(run.manifest["commit"]["commit"]) == 40
    assert not run.manifest["commit"]["dirty"]


def test_it_repeats_what_every_machine_can_run(run):
    assert {"memory", "sqlite", "postgres", "postgres:template"} <= set(run.trials["key"])
    assert run.trials["repetition"].max() >= 5


def test_it_answers_the_scenario_as_it_is_now(run):
    """So that `eslab gate --baseline results/baseline` is not refused; else: make baseline."""
    (quick,) = [path for path in SHIPPED if path.stem == "quick"]
    assert run.manifest["scenario"]["hash"] == load(quick, CATALOGUE).hash


def test_its_page_says_what_the_lab_says_of_it_now(run):
    """Else: make baseline, or eslab report results/baseline --notebooks."""
    trials, page = summary.shown(run.trials), (BASELINE / "report.html").read_text()
    asked = summary.Asked(
        run.manifest["scenario"]["require"],
        summary.matrix(run.conformance),
        summary.not_run(trials, run.manifest),
    )
    said = [*summary.answer(trials, asked), *summary.changes(trials, asked)]
    assert said
    assert [each for each in said if each not in html.unescape(page)] == []


def test_it_is_small():
    assert sum(path.stat().st_size for path in FILES) < MOST_BYTES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_path_host_or_address_of_a_machine_is_in_it(path):
    content = path.read_bytes()
    assert not PLACES.findall(content)
    assert not ADDRESSES.findall(content)
    host = socket.gethostname().encode()
    assert len(host) < 5 or host not in content


@each_run
def test_text_in_its_tables_names_no_place(folder):
    trials = results.load(folder).trials
    for name in trials.select_dtypes("string"):
        for text in trials[name]:
            assert not PLACES.search(text.encode()), (name, text)


@each_run
def test_its_raw_columns_are_left_out(folder):
    assert not [name for name in ("samples", "appends", "deliveries") if (folder / name).exists()]


def test_its_notebooks_are_executed_without_an_error():
    for name in NOTEBOOKS:
        cells = executed(name)
        assert all(cell.execution_count for cell in cells)
        assert not [o for cell in cells for o in cell.outputs if o.output_type == "error"]


def test_its_page_has_the_answer_of_its_numbers(run):
    page = (BASELINE / "report.html").read_text()
    assert "The answer" in page
    medians = run.trials.groupby("key")["throughput_per_s"].median()
    for key in ("postgres", "sqlite"):
        assert f"{medians[key]:,.0f}" in page
    assert json.dumps(run.manifest["scenario"]["name"]).strip('"') in page


def executed(name):
    """The code cells of a notebook, with their outputs."""
    notebook = nbformat.read(BASELINE / "notebooks" / f"{name}.ipynb", as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(name):
    """All that a notebook shows, as one text."""
    outputs = [out for cell in executed(name) for out in cell.outputs]
    return " ".join(out.get("text", "") + json.dumps(out.get("data", {})) for out in outputs)


def test_it_has_the_guarantees_of_every_store_that_ran(run):
    judged = summary.matrix(run.conformance)
    assert set(judged["key"]) == set(run.trials["key"])
    assert "evidence" in shown("guarantees")
    assert "The scenario requires nothing" not in shown("decision")


def test_runs_inside_it_have_conflicts_and_response_times():
    assert [path.name for path in RUNS] == [BASELINE.name, *BESIDE]
    troubled, *others = (results.load(BASELINE / name) for name in BESIDE)
    ruled, contended, opened = (each.trials for each in others)
    assert set(troubled.faults["fault"]) == set(FaultKind)
    assert ruled["rule_violations"].sum() > 0
    assert (ruled["rule_violations"][ruled["keeps_rules"].astype(bool)] == 0).all()
    assert contended["conflicts"].sum() > 0
    assert contended["point"].nunique() > 1
    assert opened["response_p50_ns"].notna().all()


def test_its_notebooks_show_each_term_on_real_data():
    everything = {name: shown(name) for name in NOTEBOOKS}
    for name, text in everything.items():
        assert "samples were not kept" not in text, name
        assert "kept its samples" not in text, name
    assert "conflicts an op" in everything["contention"]
    assert FaultKind.LOSE_POWER in everything["bad-day"]
    assert "Response time over time" in everything["latency"]


def test_its_history_has_each_store_several_times():
    rows = trends.read(BASELINE / "history.csv")
    assert (rows.groupby(list(trends.SERIES)).size() >= HISTORY_RUNS_MIN).all()
    assert "change points of" in shown("history")
