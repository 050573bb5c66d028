"""Numbers as people read them, at their edges."""

from __future__ import annotations

import pytest

from harness.words import change, ratio_between

NONE = float("nan")


@pytest.mark.parametrize(
    ("ratio", "told"),
    [
        ((0.46, 0.35, 0.58), "0.46 × (0.35 – 0.58)"),
        ((0.46, NONE, NONE), "0.46 ×"),
        ((0.6, 1e-7, 2_650_700.0), "0.60 × (repeat more)"),
        ((0.003, 0.002, 0.004), "0.003 × (0.002 – 0.004)"),
    ],
)
def test_an_interval_that_bounds_nothing_is_not_told(ratio, told):
    assert ratio_between(*ratio) == told


@pytest.mark.parametrize(
    ("ratio", "told"),
    [(1.004, "+0.4 %"), (0.9, "−10.0 %"), (9.9, "+890 %"), (12.0, "12 ×"), (9e12, "> 1,000 ×")],
)
def test_a_change_of_many_times_keeps_short(ratio, told):
    assert change(ratio) == told
