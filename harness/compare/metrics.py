"""What is compared: which column, in which direction better, by what margin, timed or counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a trial. `margin` is a share: a ratio within it either way is no change."""

    name: str
    """As it is called in `--margin` and in JSON."""
    label: str
    unit: str
    kind: Literal["timed", "counted"]
    better: Literal["higher", "lower"]
    margin: float
    values: Callable[[pd.DataFrame], Values]
    """A number a trial, NaN where there is none."""
    gated: bool = True
    """Whether `gate` decides on it without being asked to by a `--margin` of its own."""
    grain: float = 0.0
    """What a trial's count grows by at once, in the unit: a difference within it says nothing."""

    @property
    def margin_log(self) -> float:
        """The margin as a log ratio."""
        return float(np.log1p(self.margin))


def _column(name: str) -> Callable[[pd.DataFrame], Values]:
    return lambda trials: _floats(trials[name])


def _throughput(trials: pd.DataFrame) -> Values:
    """Of closed loops and searches; an open loop's rate was given, so it says nothing."""
    told = (trials["load"] == "closed") | (trials["rate_found"] == "search")
    return _floats(trials["throughput_per_s"].where(told))


def _p50(trials: pd.DataFrame) -> Values:
    """Response time of open loops, service time of closed ones: those have no other."""
    service, response = trials["service_p50_ns"], trials["response_p50_ns"]
    return _floats(service.where(trials["load"] == "closed", response))


def _floats(column: pd.Series) -> Values:
    return column.to_numpy(dtype=float, na_value=np.nan)


def _counted(
    name: str, label: str, unit: str, margin: float, column: str, grain: float = 0.0
) -> Metric:
    return Metric(name, label, unit, "counted", "lower", margin, _column(column), grain=grain)


_TABLE_GRAIN = 64 * 8192
"""Bytes. PostgreSQL takes up to 64 pages at once for a table that several clients extend."""

TIMED = (
    Metric("throughput", "throughput", "1/s", "timed", "higher", 0.05, _throughput),
    Metric("p50", "p50", "ns", "timed", "lower", 0.10, _p50),
    Metric(
        "cpu", "server CPU/event", "µs", "timed", "lower", 0.10,
        _column("server_cpu_per_event_us"), gated=False,
    ),
)  # fmt: skip
"""Samples of something that varies: many interleaved pairs, wide margins."""

COUNTED = (
    _counted("wal", "log bytes/event", "bytes", 0.02, "log_bytes_per_event"),
    _counted("disk", "data bytes/event", "bytes", 0.05, "data_bytes_per_event", _TABLE_GRAIN),
    _counted("commits", "commits/event", "count", 0.01, "commits_per_event"),
    _counted("trips", "round trips/event", "count", 0.01, "round_trips_per_event"),
    _counted("units", "write units/event", "units", 0.01, "write_units_per_event"),
    _counted("read-units", "read units/event", "units", 0.01, "read_units_per_event"),
    _counted("rule-units", "units by rule/event", "units", 0.01, "write_units_by_rule_per_event"),
)
"""Counts: two trials of the same design agree within the margin, whoever else uses the machine."""

METRICS = (*TIMED, *COUNTED)


def named(name: str) -> Metric | None:
    """The metric of this name, if there is one."""
    return next((metric for metric in METRICS if metric.name == name), None)
