"""The series of a history kept apart: point by point, scenario by scenario, machine by machine."""

from __future__ import annotations

from dataclasses import asdict, replace

import pandas as pd
import pytest

from harness import results
from harness.analysis import trends
from harness.analysis.trends import Change
from harness.cli.history import show
from harness.render import figures
from harness.render.figures.style import MUTED, ORANGE
from tests.made_run import POSTGRES, Made, made_run

POINTS = ({"events.size_bytes": 100}, {"events.size_bytes": 1000})
LABELS = ("size_bytes=100", "size_bytes=1000")
RUNS = 3


@pytest.fixture
def rows(tmp_path) -> pd.DataFrame:
    """Three runs of one store at two points."""
    made = Made((POSTGRES,), points=POINTS, repetitions=1, operations=200, keep_samples=False)
    runs = [results.load(made_run(tmp_path, made)) for _ in range(RUNS)]
    found = [trends.rows(run.manifest, run.trials) for run in runs]
    return pd.concat(found, ignore_index=True)


def change_at(row: pd.Series) -> Change:
    """A change of the throughput at this row."""
    about = {name: row[name] for name in (*trends.SERIES, "scenario", "load_label")}
    where = {name: row[name] for name in ("time", "commit", "run")}
    return Change(**about, **where, metric="throughput", before=2.0, after=1.0, p_value=None)


def markers(figure: figures.Drawing) -> int:
    """How many change points are drawn."""
    lines = [line for axes in figure.axes for line in axes.lines]
    return sum(line.get_color() == ORANGE and line.get_marker() == "v" for line in lines)


def said(figure: figures.Drawing) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


def test_a_figure_names_its_point(rows):
    for label, series in zip(LABELS, figures.histories(rows), strict=True):
        drawn = figures.history(series)
        assert f"\n{label}\n" in said(drawn)
        assert f"postgres, {label} over {RUNS} runs" in drawn.get_label()


@pytest.mark.parametrize("name", trends.SERIES)
def test_a_change_is_drawn_in_the_figure_of_its_own_series_alone(rows, name):
    first, second = figures.histories(rows)
    change = change_at(first.iloc[1])
    assert markers(figures.history(first, [change])) == 1
    assert (
        f"change points: throughput in {change.run}" in figures.history(first, [change]).get_label()
    )
    for drawn in (
        figures.history(second, [change]),
        figures.history(first, [replace(change, **{name: "another"})]),
    ):
        assert markers(drawn) == 0
        assert "change points: none" in drawn.get_label()


def test_the_tables_of_two_points_have_two_headings(rows, tmp_path, capsys):
    path = tmp_path / "history.csv"
    trends.append(path, rows)
    show(path, "", json=False)
    heads = [line for line in capsys.readouterr().out.splitlines() if "machine" in line]
    assert len(heads) == len(set(heads)) == len(POINTS)
    assert all(f", {label}, " in head for label, head in zip(LABELS, heads, strict=True))


@pytest.mark.parametrize("name", [*trends.SERIES, "load_label"])
def test_a_series_is_called_by_all_that_tells_it_from_others(rows, name):
    told = rows.iloc[0].to_dict()
    other = told | {name: '{"x": 1}' if name == "point" else "another"}
    assert trends.called(told) != trends.called(other)


def test_a_change_is_called_as_its_series(rows):
    first = rows.iloc[0]
    assert trends.called(asdict(change_at(first))) == trends.called(first.to_dict())


def test_a_change_of_machine_is_marked_and_told(rows):
    (series, _) = figures.histories(rows)
    series["environment"] = ["one", "one", "other"]
    drawn = figures.history(series)
    for axes in drawn.axes:
        dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
        assert [(line.get_color(), *line.get_xdata()) for line in dashed] == [(MUTED, 1.5, 1.5)]
        joined = [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "o"]
        assert joined == [[0, 1], [2]]
    assert f"another machine from {series['run'][2]} on" in drawn.get_label()
    assert f"{RUNS} runs on 2 machines" in said(drawn)


def test_a_history_of_one_machine_has_no_such_line_and_says_so(rows):
    (series, _) = figures.histories(rows)
    drawn = figures.history(series)
    assert not [line for axes in drawn.axes for line in axes.lines if line.get_linestyle() == "--"]
    assert "all on one machine" in drawn.get_label()
