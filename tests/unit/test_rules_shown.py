"""Rules across streams as a reader sees them: frames, figure, page and terminal."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from rich.console import Console

from harness import results
from harness.analysis import summary
from harness.render import figures
from harness.render.ranking import print_ranking
from harness.render.report.page import sections
from tests.made_run import POSTGRES, Made, MadeStore, made_run

from .words_seen import texts

POINTS = tuple({"streams.choice.zipf": zipf} for zipf in (0.5, 1.0, 2.5))
BROKEN = {"keeps_rules": False, "rule_violations": 7, "rules_broken": '{"names taken twice": 7}'}
UNDONE = {
    "status": "unsupported", "message": "no queries", "valid": False, "throughput_per_s": None,
} | dict.fromkeys(
    ("ok", "conflict", "refused", "timeout", "unknown", "conflicts", "retries", "decisions",
     "events_read", "false_conflicts", "compensations", "keeps_rules", "rule_violations")
)  # fmt: skip
LONGEST = MadeStore("postgres:boundary{lock=serializable}", conflicts=2.0)
SAGA = MadeStore("postgres+saga", conflicts=0.8)
NONE = MadeStore("postgres+none", row=BROKEN)
CANNOT = MadeStore("kafka", row=UNDONE)


def run_of(tmp_path, *stores, points=POINTS, workload="boundary"):
    made = Made(stores=stores, points=points, workload=workload, operations=400, repetitions=2)
    return results.load(made_run(tmp_path, made))


def test_what_a_design_took_is_told_for_each_operation_and_decision(tmp_path):
    rows = summary.rules(run_of(tmp_path, SAGA, points=POINTS[:1]).trials)
    assert rows["conflicts_per_op"].unique().tolist() == [0.8]
    assert rows["false_conflicts_per_op"].unique().tolist() == [0.4]
    assert rows["compensations_per_op"].unique().tolist() == [0.2]
    assert rows["read_per_decision"].round(3).unique().tolist() == [round(7 / 1.8, 3)]


def test_rules_are_drawn_where_they_are_not_promised_or_broken(tmp_path):
    lying = MadeStore("umadb", row={"rule_violations": 2, "valid": False})
    rows = (
        summary.rules(run_of(tmp_path, SAGA, NONE, lying).trials).groupby("key")["broken"].first()
    )
    assert rows.dropna().to_dict() == {"postgres+none": 7.0, "umadb": 2.0}


def test_an_unsupported_design_has_no_numbers_and_is_named(tmp_path):
    run = run_of(tmp_path, SAGA, CANNOT)
    ruled = summary.under_rules(run.trials)
    assert set(ruled["key"]) == {"postgres+saga", "kafka"}
    assert set(summary.rules_by_point(ruled)["key"]) == {"postgres+saga"}
    about = figures.about(run.manifest, run.trials)
    (group,) = summary.contention_groups(ruled)
    assert "without numbers: kafka" in " ".join(
        t.get_text() for t in texts(figures.rules(group, about))
    )


def test_other_workloads_are_left_alone(tmp_path):
    run = run_of(tmp_path, POSTGRES, points=POINTS[:1], workload="command")
    assert summary.under_rules(run.trials).empty
    assert len(summary.without_rules(run.trials)) == len(run.trials)
    assert list(figures.rules_tables(run.trials)) == []
    assert "rules" not in [section.name for section in sections(run)]


@pytest.mark.parametrize("points", [POINTS[:2], POINTS[:1]], ids=["a curve", "one point"])
def test_a_page_has_one_section_for_rules_and_no_second_curve_of_the_same(tmp_path, points):
    found = {each.name: each for each in sections(run_of(tmp_path, SAGA, NONE, points=points))}
    drawn = [piece for part in found["rules"].parts for piece in part.pieces]
    assert sum("<svg" in piece for piece in drawn) == (len(points) > 1)
    assert "rules broken" in drawn[-1]
    assert not [
        piece for part in found["figures"].parts for piece in part.pieces if "rising" in piece
    ]
    assert not [
        piece
        for part in found["costs"].parts
        for piece in part.pieces
        if "conflicts an op" in piece
    ]


def test_a_table_has_a_row_for_each_design_and_point_with_all_that_was_broken(tmp_path):
    (table,) = figures.rules_tables(run_of(tmp_path, SAGA, NONE).trials)
    rows = [tuple(map(str, row)) for row in table.rows]
    assert [row[:2] for row in rows] == [
        (key, zipf) for key in ("postgres+none", "postgres+saga") for zipf in ("0.5", "1", "2.5")
    ]
    assert {row[-1] for row in rows[:3]} == {"7"}
    assert {row[-1] for row in rows[3:]} == {"0"}


def test_a_terminal_of_80_columns_shows_them_whole(tmp_path):
    out = io.StringIO()
    print_ranking(
        run_of(tmp_path, LONGEST, SAGA, NONE, points=POINTS[:1]).trials,
        Console(file=out, width=80, highlight=False),
    )
    told = out.getvalue().partition("rules across streams")[2]
    assert told
    assert max(map(len, told.splitlines())) <= 80
    saga, *_ = [line for line in told.splitlines() if line.startswith("postgres+saga")]
    assert saga.split() == ["postgres+saga", "0.80", "0.40", "3.9", "0.20", "0"]


def test_the_answer_does_not_leave_a_lead_without_rules_unsaid(tmp_path):
    asked = summary.Asked({}, None, {})
    said = summary.answer(run_of(tmp_path, SAGA, NONE, points=POINTS[:1]).trials, asked)
    (told,) = [each for each in said if "rule" in each]
    assert told.startswith("postgres+none protects no rule and broke up to 7 in a trial")
    kept = summary.answer(run_of(tmp_path, SAGA, points=POINTS[:1]).trials, asked)
    assert not [each for each in kept if "rule" in each]


def test_repetitions_that_broke_different_numbers_show_both_ends(tmp_path):
    trials = run_of(tmp_path, NONE, points=POINTS[:1]).trials
    trials["rule_violations"] = pd.array([3, 12], "Int64")
    assert summary.rules_by_point(trials)["broken"].tolist() == ["3–12"]
