"""`ab --until-decided`: how many pairs the noise floor asks for."""

from __future__ import annotations

import pytest

from harness.cli import deciding
from harness.cli.noise_floor import Known
from harness.cli.pairs import Wanted
from harness.compare import named

NOISE = {"throughput": {"spread": 0.05, "furthest": 0.1}}


@pytest.mark.parametrize("stores", ["memory", "memory,sqlite,null"])
def test_each_store_is_one_more_row_that_holm_goes_over(tmp_path, monkeypatch, stores):
    scenario = tmp_path / "two-points.yaml"
    scenario.write_text(
        "name: x\nstores: [memory]\nworkload: append\noperations: 10\n"
        "vary: {load.closed.workers: [1, 2]}\n"
    )
    known = Known("memory", "2026-01-01", NOISE)
    monkeypatch.setattr(deciding, "recalled", lambda wanted, scenario: [known])
    wanted = Wanted(scenario, pairs=2, stores=stores, out=tmp_path)
    found = deciding.with_pairs(wanted, wanted.loaded(stores), most=1000)
    rows = 3 * 2 * len(stores.split(","))
    assert found.pairs == known.pairs_for(named("throughput"), rows)
    assert found.pairs != known.pairs_for(named("throughput"), rows + 6), "it would tell"
