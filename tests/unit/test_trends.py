"""The history file, and change points found by a stand-in for nothing: Otava where it is."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from harness import results
from harness.analysis.trends import COLUMNS, SERIES, append, called, changes, read, rows
from harness.analysis.trends.changes import VARIABLE
from harness.domain.errors import BadInput, LabError, MissingExtra
from harness.render import figures
from tests.made_history import SMALL, made_history, rows_of
from tests.made_run import POSTGRES, made_run

from .drawings import LONG
from .words_seen import texts

needs_otava = pytest.mark.skipif(
    shutil.which(os.environ.get(VARIABLE) or "otava") is None,
    reason=f"Apache Otava is not here: pipx install apache-otava, or {VARIABLE}",
)


@pytest.fixture
def added(tmp_path):
    return made_history(tmp_path)


def test_a_run_becomes_a_row_a_store_with_its_medians(tmp_path):
    run = results.load(made_run(tmp_path, SMALL))
    found = rows(run.manifest, run.trials).set_index("key")
    mine = run.trials[run.trials["key"] == "postgres"]
    assert list(found.index) == ["sqlite", "postgres"]
    assert found.loc["postgres", "throughput"] == mine["throughput_per_s"].median()
    assert found.loc["postgres", "repetitions"] == 3
    assert found.loc["postgres", "commit"] == run.manifest["commit"]["commit"]
    assert found["wal"].isna().all()


def test_what_was_added_is_read_back_and_stays_when_more_is_added(added, tmp_path):
    before = added.read_bytes()
    append(added, rows_of(made_run(tmp_path, SMALL)))
    assert added.read_bytes().startswith(before)
    history = read(added)
    assert list(history.columns) == list(COLUMNS)
    assert list(history["key"]) == ["sqlite", "postgres"] * 2
    assert history["run"].nunique() == 2


def test_each_panel_of_a_history_says_its_unit(added):
    sqlite, _ = figures.histories(read(added).assign(wal=512.0, cpu=3.5))
    said = {text.get_text() for text in texts(figures.history(sqlite))}
    assert {"throughput, operations a second", "p50, time of an operation",
            "log bytes/event, bytes", "server CPU/event, µs"} <= said  # fmt: skip


def test_a_long_store_name_stands_whole_in_the_title_of_its_history(added):
    """It was cut off at the edge of the figure."""
    sqlite, _ = figures.histories(read(added))
    drawn = figures.history(sqlite.assign(key=LONG))
    drawn.draw_without_rendering()
    title = max(texts(drawn), key=lambda text: text.get_fontsize())
    assert title.get_text().replace("\n", "") == f"History · {LONG}"
    box, others = title.get_window_extent(), texts(drawn)
    assert box.x0 >= 0
    assert box.x1 <= drawn.bbox.width
    assert not any(box.overlaps(each.get_window_extent()) for each in others if each is not title)


def test_a_history_under_a_file_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        append(tmp_path / "file" / "history.csv", rows_of(made_run(tmp_path, SMALL)))


def test_a_run_is_added_once(tmp_path):
    path, folder = tmp_path / "history.csv", made_run(tmp_path, SMALL)
    append(path, rows_of(folder))
    before = path.read_bytes()
    with pytest.raises(BadInput, match="is in it already"):
        append(path, rows_of(folder))
    assert path.read_bytes() == before


def test_a_run_without_a_valid_trial_is_not_remembered(tmp_path):
    wrong = replace(POSTGRES, row={"valid": False})
    with pytest.raises(BadInput, match="no valid trial"):
        rows_of(made_run(tmp_path, replace(SMALL, stores=(wrong,))))


def test_no_history_says_how_one_begins(tmp_path):
    with pytest.raises(BadInput, match="eslab history add RUN"):
        read(tmp_path / "history.csv")


def series(values, **about):
    """A history of one store with these rates."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(dict.fromkeys(COLUMNS, ""), index=range(len(values)))
    told = {"key": "postgres", "scenario": "made-up", "environment": "12345678", **about}
    numbers = {name: float("nan") for name in ("p50", "cpu", "disk", "commits", "trips", "units",
                                               "read-units", "rule-units", "p99")}  # fmt: skip
    return frame.assign(
        **told, **numbers,
        run=[f"run-{place}" for place in range(len(values))],
        time=[f"2026-10-{place + 1:02d}T00:00:00+00:00" for place in range(len(values))],
        throughput=np.asarray(values) * rng.normal(1, 0.01, len(values)),
        wal=700.0,
    )  # fmt: skip


def test_without_otava_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setenv(VARIABLE, "/nowhere/otava")
    with pytest.raises(MissingExtra, match="pipx install apache-otava"):
        changes(series([1.0] * 9), least=0.05)


def test_an_otava_that_says_something_else_is_one_line(monkeypatch, tmp_path):
    odd = tmp_path / "otava"
    odd.write_text("#!/bin/sh\necho trouble >&2\nexit 1\n")
    odd.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(odd))
    with pytest.raises(LabError, match="expected JSON; it printed: trouble"):
        changes(series([1.0] * 9), least=0.05)


@needs_otava
def test_a_drop_is_found_where_it_happened_and_nothing_where_machine_or_point_are_others():
    """Nor what is smaller than the least, as is the drop at the other point."""
    dropped = series([5000.0] * 14 + [4000.0] * 14, point='{"events.size_bytes": 1000}')
    others = [
        series([2500.0] * 14, point='{"events.size_bytes": 1000}', environment="other"),
        series([7500.0] * 14 + [7050.0] * 14, point='{"events.size_bytes": 100}'),
    ]
    (found,) = changes(pd.concat([dropped, *others], ignore_index=True), least=0.1)
    assert (found.metric, found.run, found.key) == ("throughput", "run-14", "postgres")
    assert found.ratio == pytest.approx(0.8, abs=0.02)
    assert found.row == tuple(dropped.loc[14, [*SERIES, "run"]])
    assert "size_bytes=1000" in called(asdict(found))
