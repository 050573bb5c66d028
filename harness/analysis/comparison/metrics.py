"""The compared metrics: column, better direction, margin, and what kind of number each is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.domain import formatting
from harness.domain.errors import BadInput

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a trial. A change within `margin`, up or down, is none.

    Timed and counted metrics change by a ratio, and their margin is a share of the base. The change
    of a `share` of the operations is a difference, and its margin is percentage points (0.01 is 1).
    """

    name: str
    """The name in `--margin` and in JSON."""
    label: str
    unit: str
    kind: Literal["timed", "counted", "share"]
    better: Literal["higher", "lower"]
    margin: float
    values: Callable[[pd.DataFrame], Values]
    """Returns one number for each trial, NaN where it has none."""
    gated: bool = True
    """Whether `gate` decides on it even without a `--margin` for it."""
    grain: float = 0.0
    """The step, in the unit, by which a trial's count grows; smaller differences mean nothing."""

    @property
    def bound(self) -> float:
        """The margin as a change of a pair: a log ratio, or a difference of shares."""
        return self.margin if self.kind == "share" else float(np.log1p(self.margin))

    def shown_change(self, change: float | None) -> str:
        """A ratio or a difference of shares, for people."""
        if self.kind == "share":
            return formatting.points(change)
        return formatting.change(change)

    def shown_value(self, value: float) -> str:
        """A value of this metric, for people."""
        if self.kind == "share":
            return formatting.percent(value)
        return formatting.duration(value) if self.unit == "ns" else formatting.number(value)


def _column(name: str) -> Callable[[pd.DataFrame], Values]:
    return lambda trials: _floats(trials[name])


def _throughput(trials: pd.DataFrame) -> Values:
    """Throughput of closed loops and searches; NaN for open loops, whose rate is given."""
    measured = (trials["load"] == "closed") | (trials["rate_found"] == "search")
    return _floats(trials["throughput_per_s"].where(measured))


def _p50(trials: pd.DataFrame) -> Values:
    """Response time of open loops, service time of closed ones, which have no response time."""
    service, response = trials["service_p50_ns"], trials["response_p50_ns"]
    return _floats(service.where(trials["load"] == "closed", response))


def _floats(column: pd.Series) -> Values:
    return column.to_numpy(dtype=float, na_value=np.nan)


def _counted(
    name: str, label: str, unit: str, margin: float, column: str, grain: float = 0.0
) -> Metric:
    return Metric(name, label, unit, "counted", "lower", margin, _column(column), grain=grain)


_TABLE_GRAIN = 64 * 8192
"""Bytes. PostgreSQL extends a table by up to 64 pages at once if several clients write to it."""

TIMED = (
    Metric("throughput", "throughput", "1/s", "timed", "higher", 0.05, _throughput),
    Metric("p50", "p50", "ns", "timed", "lower", 0.10, _p50),
    Metric(
        "cpu", "server CPU/event", "µs", "timed", "lower", 0.10,
        _column("server_cpu_per_event_us"), gated=False,
    ),
)  # fmt: skip
"""Samples of values that vary: they need many interleaved pairs and wide margins."""

COUNTED = (
    _counted("wal", "log bytes/event", "bytes", 0.02, "log_bytes_per_event"),
    _counted("disk", "data bytes/event", "bytes", 0.05, "data_bytes_per_event", _TABLE_GRAIN),
    _counted("commits", "commits/event", "count", 0.01, "commits_per_event"),
    _counted("trips", "round trips/event", "count", 0.01, "round_trips_per_event"),
    _counted("units", "write units/event", "units", 0.01, "write_units_per_event"),
    _counted("read-units", "read units/event", "units", 0.01, "read_units_per_event"),
    _counted("rule-units", "units by rule/event", "units", 0.01, "write_units_by_rule_per_event"),
)
"""Counts: two trials of one design agree within the margin, even on a busy machine."""


def _share(name: str, label: str, margin: float, *columns: str) -> Metric:
    def values(trials: pd.DataFrame) -> Values:
        parts = sum(_floats(trials[column]) for column in columns)
        scheduled = _floats(trials["scheduled"])
        return np.asarray(parts / np.where(scheduled > 0, scheduled, np.nan))

    return Metric(name, label, "share", "share", "lower", margin, values)


SHARES = (
    _share("refused", "refused", 0.01, "refused"),
    _share("unknown", "unknown", 0.01, "unknown"),
    _share("timeouts", "timed out", 0.01, "timeout"),
    _share("dropped", "dropped", 0.01, "dropped", "unfinished"),
    _share("conflicts", "conflicts/op", 0.05, "conflicts"),
)
"""Of the operations that were offered: what the speed of the others leaves out."""
CONFLICTS = "conflicts"
"""The one share that depends on how fast a machine is: clients that meet more often clash more."""

RATIOS = (*TIMED, *COUNTED)
"""The metrics whose change is a ratio."""
METRICS = (*RATIOS, *SHARES)


def named(name: str) -> Metric | None:
    """The metric of this name, or None."""
    return next((metric for metric in METRICS if metric.name == name), None)


LEAST, MOST = 0.0, 1.0
"""Shares: a margin is more than 0 % and less than 100 %."""


def parse_margins(texts: Sequence[str]) -> tuple[Metric, ...]:
    """All metrics; the named ones get the given margin and are gated. Raises `BadInput`."""
    given = margins_given(texts)
    return tuple(
        replace(metric, margin=given[metric.name], gated=True) if metric.name in given else metric
        for metric in METRICS
    )


def margins_given(texts: Sequence[str]) -> dict[str, float]:
    """Margins by metric name; spaces or commas separate them in the texts. Raises `BadInput`."""
    given: dict[str, float] = {}
    for text in " ".join(texts).replace(",", " ").split():
        name, share = _margin(text)
        if name in given:
            raise BadInput(f"--margin {text}: {name} is given twice")
        given[name] = share
    return given


def _margin(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    if named(name) is None:
        allowed = ", ".join(metric.name for metric in METRICS)
        raise BadInput(f"--margin {text}: unknown metric {name!r}; allowed: {allowed}")
    number = value.removesuffix("%")
    try:
        share = float(number) / 100 if value.endswith("%") else float("nan")
    except ValueError:
        share = float("nan")
    if not LEAST < share < MOST:
        message = f"expected a share between 0 and 100 %, for example {name}=5%"
        raise BadInput(f"--margin {text}: {message}")
    return name, share
