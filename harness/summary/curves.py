"""The percentile curves of many trials as one frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pandas as pd

from harness.summary.latency import latency_curve, stored_curve

SamplesOf = Callable[[str], pd.DataFrame | None]
"""The samples of a trial id, or None where they were not kept."""

_COLUMNS = ["trial_id", "key", "durability", "repetition", "times", "percentile", "tail", "ns"]


def latency_curves(trials: pd.DataFrame, samples_of: SamplesOf) -> pd.DataFrame:
    """A row a point of each finished trial's curve, with `trial_id`, `key` and `repetition`.

    `times` is response for open loads and service for closed ones.
    """
    found = [_curve(trial, samples_of) for _, trial in trials.iterrows()]
    kept = [curve for curve in found if len(curve)]
    return pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=_COLUMNS)


def _curve(trial: pd.Series, samples_of: SamplesOf) -> pd.DataFrame:
    times: Literal["service", "response"] = "response" if trial["load"] == "open" else "service"
    if trial["status"] != "done":
        return pd.DataFrame(columns=_COLUMNS)
    samples = samples_of(str(trial["trial_id"]))
    curve = stored_curve(trial, times) if samples is None else latency_curve(samples, times)
    return curve.assign(times=times, **{name: trial[name] for name in _COLUMNS[:4]})[_COLUMNS]
