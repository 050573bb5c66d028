"""Numbers as people read them, at their edges."""

from __future__ import annotations

import pytest

from harness.words import ratio_between

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
