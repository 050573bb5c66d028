"""A bad day as a reader sees it: who was away longest, who lost what, on page and terminal."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd
import pytest
from rich.console import Console

from harness import results
from harness.analysis import summary
from harness.domain.durability import Durability
from harness.render import figures
from harness.render.ranking import print_trouble
from harness.render.report.page import page
from tests.made_run import POSTGRES, SQLITE, Made, MadeStore, made_run

KAFKA = MadeStore(
    "kafka",
    Durability.PROCESS_CRASH,
    row={"lost": 379, "declared_violations": 0, "unknown": 5, "unknown_written": 3},
)
WHOLE = {"lost": 0, "declared_violations": 0, "unknown": 4, "unknown_written": 1}
STORES = (replace(POSTGRES, row=WHOLE), KAFKA)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    made = Made(stores=STORES, repetitions=1, load="open", faults=True, operations=2_000)
    return results.load(made_run(tmp_path_factory.mktemp("made"), made))


@pytest.fixture
def faults(run):
    return summary.faults_of(run.trials, run.faults)


def test_the_first_sentences_say_who_was_away_longest_and_who_lost_what(run, faults):
    assert summary.trouble(run.trials, faults) == [
        "kafka was away longest: 3.5 s without an acknowledgement after kill server.",
        "postgres was away shortest: at most 2.5 s, after kill server.",
        "kafka lost 379 acknowledged events, which its durability class allows"
        " (process-crash safe).",
        "The others lost no acknowledged event.",
        "Not reached on postgres: fill disk.",
        "Not reached on kafka: fill disk.",
    ]


def test_a_loss_that_the_class_forbids_is_called_a_broken_promise(run, faults):
    broken = run.trials.assign(declared_violations=379, durability="power-loss safe as configured")
    told = faults.assign(evidence="client 3, operation 7: acknowledged at 1.9 s, not in the log")
    (sentence,) = [each for each in summary.trouble(broken, told) if "lost 379" in each]
    assert sentence.endswith("a broken promise (client 3, operation 7: acknowledged at 1.9 s,"
                             " not in the log).")  # fmt: skip


def test_a_promise_broken_without_a_loss_is_told_with_its_evidence(run, faults):
    torn = run.trials.assign(lost=0, declared_violations=1, first_violation="torn: stream 'a'")
    assert "kafka broke a promise: torn: stream 'a'." in summary.trouble(torn, faults)


def test_where_nothing_was_lost_one_sentence_says_so(run, faults):
    assert "No store lost an acknowledged event." in summary.trouble(
        run.trials.assign(lost=0), faults
    )


def test_what_was_not_verified_is_not_called_whole(run, faults):
    unknown = run.trials.assign(lost=pd.array([None] * len(run.trials), "Int64"))
    assert not any("lost" in each for each in summary.trouble(unknown, faults))


def test_the_worst_of_the_repetitions_is_shown(tmp_path):
    made = Made(stores=[POSTGRES, SQLITE], repetitions=3, faults=True, operations=500)
    run = results.load(made_run(tmp_path, made))
    rows = summary.worst(run.faults).set_index(["key", "fault"])
    assert rows.loc[("postgres", "kill server"), "silent_s"] == 1.5 + 5
    assert not rows.loc[("sqlite", "fill disk"), "reached"]


def test_the_table_has_a_row_a_store_and_tells_not_reached_from_not_measured(run, faults):
    table = figures.trouble_by_store(run.trials, faults)
    titles = [column.title for column in table.columns]
    assert titles[:4] == ["store", "kill server", "fill disk", "lost"]
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["kafka"] == ("3.5 s", "not reached", "379")


def test_what_became_of_unknown_outcomes_is_told(run):
    titles = [column.title for column in figures.trouble_judged(run.trials).columns]
    rows = {row[0]: dict(zip(titles, row, strict=True)) for row in
            figures.trouble_judged(run.trials).rows}  # fmt: skip
    assert rows["kafka"]["lost"] == "379"
    assert rows["kafka"]["unknown, and written"] == "3"
    assert rows["postgres"]["broken promises"] == "0"


def test_a_store_that_did_not_come_back_has_a_plus(run, faults):
    away = faults.assign(first_ok_s=faults["first_ok_s"].where(faults["key"] != "kafka"))
    rows = {row[0]: row[1] for row in figures.trouble_by_store(run.trials, away).rows}
    assert rows == {"kafka": "3.5 s +", "postgres": "2.5 s"}


def test_a_time_line_names_its_faults_and_shades_them(run, faults):
    about = figures.about(run.manifest, run.trials)
    drawings = list(figures.time_lines(run.trials, run.intervals, faults, about))
    assert len(drawings) == 2
    svg = drawings[0].svg()
    assert "kill server" in svg
    assert "fill disk" not in svg
    assert "kill server from 2.0 to 3.5 s" in drawings[0].get_label()


def test_a_page_of_a_run_with_faults_begins_with_them_and_has_one_heading_each(run):
    text = page(run)
    names = re.findall(r'<section id="([a-z-]+)"', text)
    assert names[:2] == ["trouble", "answer"]
    assert "the lab may not mount a disk here" in text


def test_a_run_without_faults_says_nothing_of_them(tmp_path, capsys):
    run = results.load(made_run(tmp_path, Made(stores=[POSTGRES], repetitions=1, operations=500)))
    print_trouble(run.trials, run.faults, Console())
    assert capsys.readouterr().out == ""
    assert 'id="trouble"' not in page(run)


def test_the_terminals_table_fits_80_columns(run, capsys):
    print_trouble(run.trials, run.faults, Console(width=80))
    shown = capsys.readouterr().out
    table = shown.partition("what clients saw")[2].partition("!")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert "no room" not in shown or "no room for: backlog" in shown
    assert "! kafka: not reached: fill disk: the lab may not mount a disk here" in shown


def test_the_notebook_of_a_run_without_faults_says_so():
    assert figures.trouble_answer(pd.DataFrame(), pd.DataFrame())._repr_html_().count("faults") == 1
