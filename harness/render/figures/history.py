"""One store's numbers by run, with marks for change points and changes of machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from harness.analysis import trends
from harness.analysis.comparison import Metric, named
from harness.analysis.trends import SERIES, Change
from harness.domain import formatting
from harness.render.figures.lines import AXIS_IN, LEFT_IN
from harness.render.figures.sheet import HEAD_IN, MARGIN_IN, Drawing, Sheet, Words
from harness.render.figures.style import BLUE, MUTED, ORANGE, SMALL_PT, styled, wrapped

SHOWN = ("throughput", "p50", "wal", "cpu")
"""The metrics of a history that a figure shows, if the series has them."""
_UNITS = {"1/s": "operations a second", "ns": "time of an operation", "count": ""}
"""Units in the heading of a panel; others stay as they are."""
_ALIKE = [name for name in SERIES if name != "environment"]
_PANEL_IN = 1.2
_TITLE_CHARACTERS = 44
_TICKS = 6
_ROOM = 1.12


def histories(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yields the rows of one figure at a time: one store and scenario, on any machine."""
    for _, series in rows.groupby(_ALIKE, sort=False, dropna=False):
        yield series.reset_index(drop=True)


def history(series: pd.DataFrame, changes: Sequence[Change] = ()) -> Drawing:
    """One panel for each metric over the runs in order. Each scale starts at zero."""
    metrics = [metric for metric in map(named, SHOWN) if metric and _has(series, metric)]
    rows = set(series[[*SERIES, "run"]].itertuples(index=False, name=None))
    mine = [each for each in changes if each.row in rows]
    with styled():
        sheet = Sheet(_words(series, mine), len(metrics) * (_PANEL_IN + AXIS_IN + HEAD_IN))
        for metric in metrics:
            sheet.head(_head(metric))
            axes = sheet.panel(_PANEL_IN, left=LEFT_IN, right=MARGIN_IN + 0.1, below=AXIS_IN)
            _draw(axes, series, metric)
            _mark(axes, series, [each for each in mine if each.metric == metric.name])
    return sheet.figure


def _has(series: pd.DataFrame, metric: Metric) -> bool:
    return metric.name in series and bool(series[metric.name].notna().any())


def _head(metric: Metric) -> str:
    return ", ".join(filter(None, (metric.label, _UNITS.get(metric.unit, metric.unit))))


def _words(series: pd.DataFrame, changes: Sequence[Change]) -> Words:
    first = series.iloc[0]
    machines = _machines(series)
    asked = " · ".join(filter(None, (trends.asked(first), first["load_label"])))
    runs = f"{_many(len(series), 'run')} on {_many(machines, 'machine')}"
    lines = (asked, trends.point(first), f"{first['durability']} · {runs}")
    return Words(
        title="\n".join(wrapped(f"History · {first['key']}", _TITLE_CHARACTERS)),
        subtitle="a dot a run · ▼ change point · dashed: other machine or cores",
        caption="\n".join(filter(None, lines)),
        alternative=_alternative(series, changes),
    )


def _machines(series: pd.DataFrame) -> int:
    """Machines alone: `environment` may have the cores of both sides as well."""
    return len({str(each).partition("; ")[0] for each in series["environment"]})


def _many(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def _draw(axes: Axes, series: pd.DataFrame, metric: Metric) -> None:
    """Draws one metric; lines join only runs on the same machine."""
    values = series[metric.name].astype("float64")
    for _, alike in series.groupby("environment", sort=False):
        axes.plot(alike.index, values[alike.index], color=BLUE, marker="o", markersize=4,
                  linewidth=1.2, clip_on=False)  # fmt: skip
    axes.set_ylim(0, values.max() * _ROOM or 1)
    axes.set_xlim(-0.5, len(series) - 0.5)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    as_time = metric.name in {"p50", "p99"}
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda y, _: formatting.duration(y) if as_time and y else formatting.short(y))
    )
    step = max(1, -(-len(series) // _TICKS))
    axes.xaxis.set_major_locator(FixedLocator(list(range(0, len(series), step))))
    begun, unit = _begun([str(time) for time in series["time"]])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: begun[int(x)]))
    axes.set_xlabel(f"run, by the {unit} it began", color=MUTED, fontsize=SMALL_PT)


def _begun(times: Sequence[str]) -> tuple[list[str], str]:
    """Each run's month and day, or hour and minute if all are of one day; and the name of it."""
    if len({time[:10] for time in times}) > 1 or len(times) == 1:
        return [time[5:10] for time in times], "day"
    return [time[11:16] for time in times], "time (UTC)"


def _mark(axes: Axes, series: pd.DataFrame, changes: Sequence[Change]) -> None:
    places = {run: place for place, run in enumerate(series["run"])}
    for change in changes:
        axes.plot(places[change.run], axes.get_ylim()[1], marker="v", color=ORANGE, clip_on=False)
    for place in _moves(series):
        axes.axvline(place - 0.5, color=MUTED, linestyle="--", linewidth=0.9)


def _moves(series: pd.DataFrame) -> list[int]:
    """The places of runs on another machine than the run before, or on other cores of it."""
    machine = series["environment"]
    return list(series.index[machine.ne(machine.shift())][1:])


def _alternative(series: pd.DataFrame, changes: Sequence[Change]) -> str:
    first = series.iloc[0]
    rate = series["throughput"].astype("float64")
    about = ", ".join(filter(None, (first["key"], trends.point(first))))
    throughput = (
        f"{about} over {_many(len(series), 'run')}: throughput from"
        f" {formatting.rate(rate.iloc[0])} to {formatting.rate(rate.iloc[-1])}"
    )
    moved = [str(series["run"][place]) for place in _moves(series)]
    others = "another machine" if _machines(series) > 1 else "other cores"
    machines = f"{others} from {', '.join(moved)} on" if moved else "all on one machine"
    points = [f"{each.metric} in {each.run}" for each in changes]
    return f"{throughput}; {machines}; change points: {', '.join(points) or 'none reported'}."
