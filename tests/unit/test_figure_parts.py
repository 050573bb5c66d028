"""What figures and tables are made of: labels, ticks, and the numbers that they show."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest

from harness.analysis import summary, trends
from harness.render import figures
from harness.render.figures.style import apart, ticks, wrapped
from harness.render.table import Table, numbers, texts
from tests.made_run import MEMORY, POSTGRES, Made, MadeStore

from .drawings import LONG, loaded, seconds_of


def test_labels_that_would_meet_are_moved_apart_in_their_order():
    centres = apart([1.0, 1.1, 5.0], [1.0, 1.0, 1.0], 9.0)
    assert centres == pytest.approx([0.55, 1.55, 5.0])


def test_labels_stay_between_the_edges_without_meeting():
    centres = apart([0.1, 0.0, 4.9], [1.0, 1.0, 3.0], 5.0)
    assert centres == pytest.approx([1.5, 0.5, 3.5])


def test_a_long_name_is_wrapped_without_losing_a_letter():
    lines = wrapped(LONG, 24)
    assert "".join(lines) == LONG
    assert max(map(len, lines)) <= 24


@pytest.mark.parametrize(("low", "high"), [(4e3, 9e3), (90, 110), (1e3, 1e10), (1.5e5, 2.5e6)])
def test_a_time_axis_has_two_to_twelve_round_ticks(low, high):
    found = ticks(low, high)
    assert 2 <= len(found) <= 12
    assert all(low <= tick <= high for tick in found)


def test_tables_escape_what_they_are_given_and_name_each_cell(tmp_path):
    html = Table((*texts("store"), *numbers("n")), [("<b>", "1")])._repr_html_()
    assert "&lt;b&gt;" in html
    assert 'class="number" data-head="n"' in html


def test_a_row_is_headed_by_the_store_that_it_is_about_or_else_by_its_first_cell():
    ranking = Table(texts("rank", "store"), [("1", "a:b")])._repr_html_()
    assert re.search(r'<th scope="row" role="rowheader"[^>]*>a:<wbr>b</th>', ranking)
    assert re.search(r'<td role="cell"[^>]*>1</td>', ranking)
    flags = Table(texts("flag", "concerns"), [("x", "y")])._repr_html_()
    assert re.search(r'<th scope="row" role="rowheader"[^>]*>x</th>', flags)
    assert flags.count('scope="row"') == 1


def test_the_ranking_never_puts_two_durability_classes_in_one_table(tmp_path):
    run, _ = loaded(tmp_path, Made(keep_samples=False, operations=500))
    tables = list(figures.rankings(run.trials))
    assert len(tables) == run.trials["durability"].nunique()


def test_what_was_not_run_is_told_with_its_reason(tmp_path):
    undone = MadeStore("null", row={"status": "unsupported", "message": "keeps nothing"})
    run, _ = loaded(tmp_path, Made(stores=(MEMORY, undone), keep_samples=False, operations=500))
    told = str(figures.not_run(run.trials, run.manifest))
    assert "kafka | left out | kafka: no server; needs Java" in told
    assert "null | 3 × unsupported | keeps nothing" in told


def test_settings_are_shown_as_they_were_read_back(tmp_path):
    row = {"settings": json.dumps({"fsync": "off"})}
    run, _ = loaded(tmp_path, Made(stores=(MadeStore("postgres", row=row),), operations=500))
    assert "fsync = off" in str(figures.settings(run.trials))


def test_a_run_of_one_point_has_no_curve(tmp_path):
    run, _ = loaded(tmp_path, Made(keep_samples=False, operations=500))
    assert not list(summary.scaling_groups(run.trials))


def test_a_rate_over_time_leaves_out_the_rest_of_a_second(tmp_path):
    run, _ = loaded(tmp_path, Made(stores=(MEMORY,), keep_samples=False, operations=500))
    seconds = seconds_of(run.trials)
    assert summary.has_rate_over_time(run.trials, seconds)
    short = seconds.assign(length_s=0.1)
    assert summary.rate_over_time(run.trials, short).empty
    assert not summary.has_rate_over_time(run.trials, seconds[seconds["second"] < 2])


def test_the_cells_of_a_heat_map_count_every_operation_that_ended_well(tmp_path):
    run, _ = loaded(tmp_path, Made(stores=(MEMORY,), operations=700))
    counts = summary.heat(run.kept_samples("001-memory"), start="sent_ns")
    assert counts.to_numpy().sum() == 700


def test_a_run_of_pairs_shows_one_store_as_two(tmp_path):
    run, _ = loaded(tmp_path, Made(stores=(POSTGRES,), keep_samples=False, operations=500))
    both = pd.concat([run.trials.assign(side="base"), run.trials.assign(side="candidate")])
    assert set(summary.sided(both)["key"]) == {"postgres (base)", "postgres (candidate)"}
    assert set(summary.sided(run.trials)["key"]) == {"postgres"}
    assert set(summary.candidates_of_pairs(both)["side"]) == {"candidate"}


@pytest.mark.parametrize(
    ("times", "labels"),
    [
        (["2026-01-02T03:04:05", "2026-01-02T15:16:17"], ["03:04", "15:16"]),
        (["2026-01-02T03:04:05", "2026-02-03T03:04:05"], ["01-02", "02-03"]),
    ],
)
def test_a_history_tells_runs_of_one_day_apart_by_the_hour(tmp_path, times, labels):
    run, _ = loaded(tmp_path, Made(stores=(POSTGRES,), keep_samples=False, operations=500))
    row = trends.rows(run.manifest, run.trials)
    both = pd.concat([row.assign(time=time, run=time) for time in times], ignore_index=True)
    drawn = figures.history(both).svg()
    assert all(f">{label}</text>" in drawn for label in labels)
