"""What one side lacks is told or refused: a gate must not pass for want of anything to hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.analysis.comparison import (
    METRICS,
    TIMED,
    Comparison,
    Side,
    compare,
    gated_metrics,
    named,
    refuse_unmeasured,
    unpaired,
)
from harness.cli.compare import Subject, compared, subjects_of_pairs
from harness.cli.gate import conclude
from harness.cli.pairs import ComparedSides, PairsOptions
from harness.domain.errors import BadInput, Refused
from harness.render.comparison_table import _undecided
from tests.made_pairs import trials
from tests.made_run import POSTGRES, SQLITE, Made, made_run
from tests.unit.test_compare_refusals import rewritten

MANIFEST = {"run": "made", "scenario": {"name": "made-up", "hash": "0" * 64}}


def subject(base, candidate):
    sides = (Side(name, MANIFEST, rows) for name, rows in (("b", base), ("c", candidate)))
    return Subject("postgres", *sides)


def at(point, side, **columns):
    return trials(side, point=point, point_label=point, **columns)


@pytest.mark.parametrize("side", ["base", "candidate"])
def test_a_store_that_only_one_side_has_is_refused_and_named(tmp_path, side):
    folder = made_run(tmp_path, Made((SQLITE, POSTGRES), repetitions=2, operations=300))
    other = {"base": "candidate", "candidate": "base"}[side]
    rewritten(folder, side=lambda old: [side, side, other, ""], key=lambda old: [
        "sqlite", "postgres", "postgres", "postgres"])  # fmt: skip
    with pytest.raises(Refused, match=f"only the {side} has sqlite"):
        subjects_of_pairs(folder)


def test_a_point_that_one_side_lacks_is_told_and_refused_by_a_gate():
    both, lost = (at("64 clients", "base"), at("64 clients", "candidate")), at("1 client", "base")
    one = subject(together(both[0], lost), both[1])
    assert unpaired(one.base.trials, one.candidate.trials) == [
        "only the base has closed, 8 workers, 1 client"
    ]
    _, said = compared([one], METRICS, mixed=False)
    assert any("only the base has closed, 8 workers, 1 client" in line for line in said)
    with pytest.raises(Refused, match="only the base has closed, 8 workers, 1 client"):
        compared([one], METRICS, mixed=False, whole=True)


def together(*frames):
    return pd.concat(frames, ignore_index=True)


def test_pairs_are_counted_at_the_point_that_has_the_fewest():
    one, other = ([at(p, side, pairs=3) for p in ("a", "b")] for side in ("base", "candidate"))
    _, said = compared([subject(together(*one), together(*other))], METRICS, mixed=False)
    assert any(line.startswith("fewer than 5 pairs of a point") for line in said)


def test_a_margin_for_what_no_store_tells_is_refused():
    none = compare([("sqlite", trials("base"), trials("candidate"))])
    with pytest.raises(Refused, match=r"^run: --margin wal: none of these stores tells it"):
        refuse_unmeasured(none, ("wal=1%",), source="run")
    sides = (trials(side, log_bytes_per_event=700.0) for side in ("base", "candidate"))
    refuse_unmeasured(compare([("postgres", *sides)]), ("wal=1%",), source="run")


DISK = (named("disk"),)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"data_bytes_per_event": 0.0}, "undecided: postgres: nothing was counted"),
        ({}, "undecided: postgres: nothing was counted"),
        ({"data_bytes_per_event": [0.0, 500.0] * 5}, "passed"),
        ({"data_bytes_per_event": 500.0}, "passed"),
    ],
)
def test_a_store_of_which_nothing_was_counted_passes_no_gate(capsys, columns, told):
    counted = compare([("postgres", trials("base", **columns), trials("c", **columns))], DISK)
    assert concluded(counted, capsys) == (0, f"gate: {told}")


def test_zeros_that_became_something_fail(capsys):
    none, some = ({"data_bytes_per_event": each, "events": 1e6} for each in (0.0, 500.0))
    grown = compare([("postgres", trials("base", **none), trials("c", **some))], DISK)
    code, told = concluded(grown, capsys)
    assert code == 1
    assert told.startswith("gate: failed: postgres")


def test_one_store_of_which_something_was_counted_does_not_speak_for_another(capsys):
    alike = [
        (key, trials("base", data_bytes_per_event=value), trials("c", data_bytes_per_event=value))
        for key, value in (("postgres", 500.0), ("sqlite", 0.0))
    ]
    assert concluded(compare(alike, DISK), capsys) == (
        0, "gate: undecided: sqlite: nothing was counted"
    )  # fmt: skip


def concluded(found: Comparison, capsys):
    """The exit code of a gate that found this, and its last line."""
    options = PairsOptions(scenario=Path("s.yaml"), pairs=2)
    code = conclude(options, ComparedSides(Path("run"), found, ()))
    return code, capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("margins", ["wal=1%,throughput=5%", "wal=1% throughput=5%"])
def test_a_timed_margin_beside_a_counted_one_is_refused_against_a_stored_run(margins):
    with pytest.raises(BadInput, match="throughput can't be gated against a stored baseline"):
        gated_metrics((margins,), stored=True)


def test_rows_of_mixed_durability_say_so_themselves():
    memory = trials("candidate", durability="memory")
    found, _ = compared([subject(trials("base"), memory)], METRICS, mixed=True)
    assert {row.subject for row in found.rows} == {"postgres (MIXED DURABILITY)"}


def test_a_time_of_zero_is_a_missing_one():
    none = trials("candidate", server_cpu_per_event_us=0.0)
    found = compare([("postgres", trials("base"), none)])
    assert "cpu" not in {row.metric.name for row in found.rows}
    half = trials("candidate", server_cpu_per_event_us=[0.0] * 5 + [50.0] * 5)
    (row,) = cpu_rows(compare([("postgres", trials("base"), half)]))
    assert row.estimate.pairs == 5
    assert np.isfinite(row.estimate.ratio)


def cpu_rows(found: Comparison):
    return [row for row in found.rows if row.metric.name == "cpu"]


def test_one_pair_is_said_to_be_too_few_and_not_to_lie_at_the_margin():
    found = compare([("postgres", trials("base", pairs=1), trials("candidate", pairs=1))], TIMED)
    assert _undecided(found.rows[0]) == "1 pair is too few to show any change"
