"""Percentile points for curves with a logarithmic tail, from samples or from a trial's row."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.outcome import Outcome
from harness.percentiles import BEYOND_MIN, percentiles

Times = Literal["service", "response"]

_STARTS = {"service": "sent_ns", "response": "intended_ns"}
_MARKS = (0.0, 50.0, 90.0, 95.0, 99.0, 99.9, 99.99, 99.999)
_STEPS_A_DECADE = 16
_STORED = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
_CURVE = ["percentile", "tail", "ns", "count"]


def latency_curve(samples: pd.DataFrame, times: Times = "service") -> pd.DataFrame:
    """Points of one trial's percentile curve: `percentile`, `tail`, `ns`, `count`.

    Of measured operations that ended well; `tail` is −log10(1 − percentile/100), so that 90, 99
    and 99.9 are one apart. Ends where fewer than 100 of the `count` samples lie beyond.
    """
    values_ns = times_ns(samples, times)
    wanted = _wanted(len(values_ns))
    found = np.array(percentiles(values_ns, wanted), dtype=float)
    return _curve(np.array(wanted), found, len(values_ns))


def stored_curve(trial: pd.Series, times: str) -> pd.DataFrame:
    """The same from the percentiles in a trial's row, for runs that kept no samples."""
    found = np.array([trial[f"{times}_{label}_ns"] for label in _STORED], dtype=float)
    count = trial[f"{times}_count"]
    return _curve(np.array(list(_STORED.values())), found, 0 if pd.isna(count) else int(count))


def times_ns(samples: pd.DataFrame, times: Times = "service") -> NDArray[np.int64]:
    """Service time (done − sent) or response time (done − intended) of what ended well."""
    op, outcome = samples["op"].to_numpy(), samples["outcome"].to_numpy()
    taken = samples["done_ns"].to_numpy() - samples[_STARTS[times]].to_numpy()
    return np.asarray(taken[(op >= 0) & (outcome == Outcome.OK)])


def tail(percentile: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Where a percentile lies on the axis of a curve with a logarithmic tail."""
    return np.asarray(-np.log10(1 - np.asarray(percentile) / 100))


def _wanted(count: int) -> list[float]:
    if count < BEYOND_MIN:
        return []
    end = np.log10(count / BEYOND_MIN)
    grid = 100 * (1 - 10 ** -np.arange(0, end, 1 / _STEPS_A_DECADE))
    return sorted({*np.round(grid, 6).tolist(), *_MARKS})


def _curve(wanted: NDArray[np.float64], found: NDArray[np.float64], count: int) -> pd.DataFrame:
    known = ~np.isnan(found)
    shown = wanted[known]
    points = {"percentile": shown, "tail": tail(shown), "ns": found[known]}
    return pd.DataFrame(points).assign(count=count)[_CURVE]
