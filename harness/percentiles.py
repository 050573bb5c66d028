"""Percentiles from raw values, refused where too few values lie beyond them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BEYOND_MIN = 100
"""A percentile with fewer values beyond it is luck, and is not given."""


def percentiles(
    values: NDArray[np.int64], wanted: Sequence[float], *, reorder: bool = False
) -> list[float | None]:
    """The value at each wanted percentile (0–100), or `None` with fewer than 100 beyond it.

    `reorder` lets `values` be sorted in part where they are, which spares a copy.
    """
    count = len(values)
    shown = [q for q in wanted if count * (100 - q) / 100 >= BEYOND_MIN]
    if not shown:
        return [None] * len(wanted)
    found = dict(zip(shown, np.percentile(values, shown, overwrite_input=reorder), strict=True))
    return [float(found[q]) if q in found else None for q in wanted]
