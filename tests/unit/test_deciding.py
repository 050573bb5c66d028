"""How many pairs a question takes: by the noise floor, and for anything to be shown at all."""

from __future__ import annotations

import pytest

from harness.analysis.comparison import Known, named
from harness.cli import ab
from harness.cli import pairs as pairs_
from harness.cli.pairs import PairsOptions

NOISE = {"throughput": {"spread": 0.05, "furthest": 0.1}}
SCENARIO = (
    "name: x\nstores: [memory]\nworkload: append\noperations: 10\n"
    "vary: {load.closed.workers: [1, 2]}\n"
)


@pytest.mark.parametrize("stores", ["memory", "memory,sqlite,null"])
def test_each_store_is_one_more_row_that_holm_goes_over(tmp_path, monkeypatch, stores):
    scenario = tmp_path / "two-points.yaml"
    scenario.write_text(SCENARIO)
    known = Known("memory", "2026-01-01", NOISE)
    monkeypatch.setattr(pairs_, "known_noise", lambda options, scenario: [known])
    options = PairsOptions(scenario, pairs=2, stores=stores, out=tmp_path)
    found = ab.with_pairs(options, options.loaded(stores), most=1000)
    rows = 3 * 2 * len(stores.split(","))
    assert found.pairs == known.pairs_for(named("throughput"), rows)
    assert found.pairs != known.pairs_for(named("throughput"), rows + 6), "it would tell"


@pytest.mark.parametrize(("pairs", "said"), [(2, True), (7, True), (8, False), (10, False)])
def test_pairs_that_could_show_no_change_of_time_are_said_to_be_too_few(
    tmp_path, capsys, pairs, said
):
    """Two points and three timed metrics: six rows, so one in 120, so eight pairs."""
    scenario = tmp_path / "two-points.yaml"
    scenario.write_text(SCENARIO)
    options = PairsOptions(scenario, pairs=pairs, out=tmp_path, dry_run=True)
    ab.run_ab(options, base="memory", candidate="memory", refs=None, until_decided=None)
    told = f"! {pairs} pairs cannot show a change of time in up to 6 rows at once: --pairs 8"
    assert (told in capsys.readouterr().out) == said


def test_the_stored_floor_of_a_count_leaves_strays_out_where_the_gate_does():
    stored = {"wal": {"spread": 0.02, "furthest": 0.08, "usual": 0.01}}
    floors = [Known("x", "2026-01-01", stored).floor(named("wal"), pairs) for pairs in (2, 8, 9)]
    assert floors == [0.08, 0.08, 0.01]
    del stored["wal"]["usual"]
    assert Known("x", "2026-01-01", stored).floor(named("wal"), 9) == 0.08, "an older line"
