"""Times of operations: percentile curves (log scale), heat maps, rates by the second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.analysis.percentiles import BEYOND_MIN, STORED, percentiles
from harness.domain.outcome import Outcome

Times = Literal["service", "response"]

_STARTS = {"service": "sent_ns", "response": "intended_ns"}
_MARKS = (0.0, 50.0, 90.0, 95.0, 99.0, 99.9, 99.99, 99.999)
_STEPS_A_DECADE = 16
_CURVE = ["percentile", "tail", "ns", "count"]


def latency_curve(samples: pd.DataFrame, times: Times = "service") -> pd.DataFrame:
    """Points of one trial's percentile curve: `percentile`, `tail`, `ns`, `count`.

    Service times are those of measured operations that succeeded; response times count everybody,
    and the curve ends at the first operation that failed. `tail` is −log10(1 − percentile/100), so
    that 90, 99 and 99.9 are one apart. It ends where fewer than 100 of the `count` lie beyond.
    """
    values_ns = times_ns(samples, times)
    unanswered = 0
    if times == "response":
        values_ns = np.concatenate([values_ns, times_ns(samples, times, Outcome.CONFLICT)])
        unanswered = int((samples["op"] >= 0).sum()) - len(values_ns)
    count = len(values_ns) + unanswered
    wanted = _wanted(count)
    values = np.array(percentiles(values_ns, wanted, unanswered=unanswered), dtype=float)
    return _curve(np.array(wanted), values, count)


def stored_curve(trial: pd.Series, times: str) -> pd.DataFrame:
    """The curve from the percentiles in a trial's row, for runs without samples."""
    values = np.array([trial[f"{times}_{label}_ns"] for label in STORED], dtype=float)
    count = trial[f"{times}_count"]
    return _curve(np.array(list(STORED.values())), values, 0 if pd.isna(count) else int(count))


def times_ns(
    samples: pd.DataFrame, times: Times = "service", ended: Outcome = Outcome.OK
) -> NDArray[np.int64]:
    """Service time (done − sent) or response time (done − intended) of successful operations.

    `ended` chooses those of another outcome.
    """
    op, outcome = samples["op"].to_numpy(), samples["outcome"].to_numpy()
    taken = samples["done_ns"].to_numpy() - samples[_STARTS[times]].to_numpy()
    return np.asarray(taken[(op >= 0) & (outcome == ended)])


def tail(percentile: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The place of a percentile on an axis with a logarithmic tail."""
    return np.asarray(-np.log10(1 - np.asarray(percentile) / 100))


def _wanted(count: int) -> list[float]:
    if count < BEYOND_MIN:
        return []
    end = np.log10(count / BEYOND_MIN)
    grid = 100 * (1 - 10 ** -np.arange(0, end, 1 / _STEPS_A_DECADE))
    return sorted({*np.round(grid, 6).tolist(), *_MARKS})


def _curve(wanted: NDArray[np.float64], values: NDArray[np.float64], count: int) -> pd.DataFrame:
    known = np.isfinite(values)
    shown = wanted[known]
    points = {"percentile": shown, "tail": tail(shown), "ns": values[known]}
    return pd.DataFrame(points).assign(count=count)[_CURVE]


SamplesOf = Callable[[str], pd.DataFrame | None]
"""Returns the samples of a trial id, or None if the run did not keep them."""

_COLUMNS = ["trial_id", "key", "durability", "repetition", "times", "percentile", "tail", "ns"]


def latency_curves(trials: pd.DataFrame, samples_of: SamplesOf) -> pd.DataFrame:
    """One row for each point of each finished trial's curve, with `trial_id`, `key`, `repetition`.

    `times` is response for open loads and service for closed ones.
    """
    curves = [_curve_of_trial(trial, samples_of) for _, trial in trials.iterrows()]
    kept = [curve for curve in curves if len(curve)]
    return pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=_COLUMNS)


def _curve_of_trial(trial: pd.Series, samples_of: SamplesOf) -> pd.DataFrame:
    times: Literal["service", "response"] = "response" if trial["load"] == "open" else "service"
    if trial["status"] != "done":
        return pd.DataFrame(columns=_COLUMNS)
    samples = samples_of(str(trial["trial_id"]))
    curve = stored_curve(trial, times) if samples is None else latency_curve(samples, times)
    return curve.assign(times=times, **{name: trial[name] for name in _COLUMNS[:4]})[_COLUMNS]


_NS_A_MS = 1_000_000
_NS_A_S = 1_000_000_000


def operations(samples: pd.DataFrame) -> pd.DataFrame:
    """One row for each measured operation: `op`, `outcome`, `attempts`, and in ms `queue_ms`,
    `service_ms`, `response_ms`.

    Queue time runs from the intended start to sending, service time from sending to the answer;
    response time is their sum. In a closed loop the intended start is the moment its client
    became free, so only service time has a meaning.
    """
    measured = samples[samples["op"] >= 0].reset_index(drop=True)
    names = [Outcome(code).name.lower() for code in measured["outcome"]]
    intended, sent, done = (measured[f"{name}_ns"] for name in ("intended", "sent", "done"))
    return pd.DataFrame(
        {
            "op": measured["op"],
            "outcome": names,
            "attempts": measured["attempts"],
            "queue_ms": (sent - intended) / _NS_A_MS,
            "service_ms": (done - sent) / _NS_A_MS,
            "response_ms": (done - intended) / _NS_A_MS,
        }
    )


def heat(samples: pd.DataFrame, *, start: str, columns: int = 60, rows: int = 40) -> pd.DataFrame:
    """Counts of successful operations: rows are times (lower edges in ns), columns seconds.

    `start` is sent_ns for service times, intended_ns for response times. Edges of times rise by a
    constant ratio. Empty for fewer than two operations.
    """
    ok = (samples["op"] >= 0) & (samples["outcome"] == int(Outcome.OK))
    begun = samples.loc[ok, start].to_numpy(dtype=float)
    took_ns = samples.loc[ok, "done_ns"].to_numpy(dtype=float) - begun
    if len(took_ns) < 2:  # noqa: PLR2004 — no spread
        return pd.DataFrame()
    at_s = (begun - begun.min()) / _NS_A_S
    edges = np.geomspace(max(took_ns.min(), 1.0), max(took_ns.max(), took_ns.min() + 1), rows + 1)
    counts, _, seconds = np.histogram2d(took_ns, at_s, bins=(edges, columns))
    return pd.DataFrame(counts, index=edges[:-1], columns=seconds[:-1])


_LEAST_S = 0.5
"""A shorter interval at the end of a trial is too short for a rate."""


def has_rate_over_time(trials: pd.DataFrame, intervals: pd.DataFrame) -> bool:
    """Whether any of these trials has at least three seconds of rates."""
    rows = rate_over_time(trials, intervals)
    return bool(len(rows)) and bool(rows.groupby("trial_id").size().max() > 2)  # noqa: PLR2004


def rate_over_time(trials: pd.DataFrame, intervals: pd.DataFrame) -> pd.DataFrame:
    """One row for each trial and second: `trial_id`, `key`, `durability`, `second`, `per_s`."""
    of_these = trials.loc[trials["status"] == "done", ["trial_id", "durability"]]
    rows = of_these.merge(intervals, on="trial_id")
    rows = rows[rows["length_s"] >= _LEAST_S]
    rows = rows.assign(per_s=(rows["ok"] / rows["length_s"]).astype("float64"))
    return rows[["trial_id", "key", "durability", "second", "per_s"]]
