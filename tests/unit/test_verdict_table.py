"""The table of a comparison on a narrow terminal."""

from __future__ import annotations

import io

from rich.console import Console

from harness.analysis.comparison import compare
from harness.render.comparison_table import print_comparison
from tests.made_pairs import sides


def test_a_verdict_is_whole_in_eighty_columns_however_wide_its_interval():
    found = compare([("postgres:template → postgres", *sides([-3.0, 6.0]))])
    console = Console(file=io.StringIO(), width=80)
    print_comparison(found, [], console)
    told = console.file.getvalue()
    assert "inconclusive" in told
    assert "…" in told
    lines = told.splitlines()
    (row,) = [line for line in lines if line.startswith("throughput")]
    assert "> 1,000 ×" in row
    assert len(row) <= 80
