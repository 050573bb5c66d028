"""The ranking on a terminal: it fits in 80 columns and cuts nothing."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from harness import results
from harness.render.ranking import print_ranking
from tests.made_run import OPTIONS, STORES, Made, made_run

LONG = replace(OPTIONS, key="postgres:global-lock{notify=true,payload=bytea,unlogged=true}")


def test_tables_fit_in_80_columns_and_cut_no_name_and_no_number(tmp_path):
    folder = made_run(tmp_path, Made((*STORES, LONG), keep_samples=False, operations=20_000))
    out = io.StringIO()
    print_ranking(results.load(folder).trials, Console(file=out, width=80))
    said = out.getvalue()
    tables = [line for line in said.splitlines() if not line.startswith("!")]
    assert max(map(len, tables)) <= 80
    assert "…" not in said
    assert "! postgres:template: 41 findings in what it kept" in said


def test_a_store_that_could_not_run_says_why_under_the_table(tmp_path):
    undone = replace(STORES[0], row={"status": "no-server", "message": "needs Java"})
    folder = made_run(tmp_path, Made((undone,), keep_samples=False, operations=500))
    out = io.StringIO()
    print_ranking(results.load(folder).trials, Console(file=out, width=80))
    assert "! memory: no-server: needs Java" in out.getvalue()


def test_a_store_of_which_nothing_ended_well_is_shown_without_a_rank(tmp_path):
    silent = replace(STORES[0], row={"ok": 0, "throughput_per_s": 0.0, "refused": 500})
    folder = made_run(tmp_path, Made((silent,), keep_samples=False, operations=500))
    out = io.StringIO()
    print_ranking(results.load(folder).trials, Console(file=out, width=80))
    assert "100 % of its operations failed" in out.getvalue()
