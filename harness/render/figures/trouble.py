"""A bad day: each store's rate, times and work in flight over time, and what its clients saw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness.analysis import summary
from harness.domain import formatting
from harness.render.figures.paragraphs import Lines
from harness.render.figures.sheet import MARGIN_IN, About, Drawing, Sheet, Words, caption
from harness.render.figures.style import (
    INK,
    MUTED,
    ORANGE,
    SMALL_PT,
    WIDTH_IN,
    Mark,
    log_time,
    styled,
)
from harness.render.table import Table, numbers, texts

_NS_A_S = 1e9
_STRIP_IN = 0.86
"""Room for the names of the faults, which stand upright above their bands."""
_PANEL_IN = 0.95
_GAP_IN = 0.16
_AXIS_IN = 0.46
_LEFT_IN, _LABEL_IN, _RIGHT_IN = 0.86, 0.7, 2 * MARGIN_IN
_PLOT_IN = WIDTH_IN - _LEFT_IN - _RIGHT_IN
_ROOM = 1.08
_NARROWEST = 0.004
"""Of the width: a reset has no length, and shows all the same."""


def trouble_answer(trials: pd.DataFrame, faults: pd.DataFrame) -> Lines:
    """Who was away longest and who lost what."""
    return Lines(summary.trouble(trials, faults), empty="No trial of this run had faults.")


def trouble_by_store(trials: pd.DataFrame, faults: pd.DataFrame) -> Table:
    """Stores down, faults across: the longest time without an acknowledgement; and losses."""
    rows = summary.worst(faults)
    kinds = list(dict.fromkeys(rows["fault"]))
    lost = summary.losses(trials).set_index("key")
    silent = rows.groupby("key")["silent_s"].max().sort_values(na_position="last")
    cells = []
    for key in silent.index:
        mine = rows[rows["key"] == key].set_index("fault")
        cells.append(
            (
                str(key),
                *(_away(mine.loc[kind]) for kind in kinds),
                _count(lost.loc[key, "lost"]) if key in lost.index else formatting.MISSING,
            )
        )
    columns = (*texts("store"), *numbers(*kinds, "lost"))
    return Table(columns, cells, "Longest time without an acknowledgement")


def trouble_tables(faults: pd.DataFrame) -> Iterator[Table]:
    """One table for each kind of fault: how each store took it."""
    for kind, group in summary.worst(faults).groupby("fault", sort=False):
        reached = group[group["reached"]].sort_values("silent_s")
        had = [name for name in _SEEN if reached[name].notna().any()]
        columns = (*texts("store"), *numbers(*(_SEEN[name] for name in had)))
        rows = [
            (str(row["key"]), *(_cell(name, row[name]) for name in had))
            for _, row in reached.iterrows()
        ]
        if rows:
            yield Table(columns, rows, str(kind).capitalize())


_SEEN = {
    "silent_s": "away",
    "first_ok_s": "back after",
    "restored_s": "rate back after",
    "errors": "errors",
    "response_p99_during_ns": "p99 in it",
    "response_p99_after_ns": "p99 after it",
    "backlog_max": "backlog",
    "drained_s": "drained after",
    "connections": "connections",
    "delivery_gap_s": "gap in delivery",
    "delivered_again": "delivered again",
    "lost": "lost",
}


def trouble_judged(trials: pd.DataFrame) -> Table:
    """What was found when everything was read back: losses, copies, and how the unknown ended."""
    rows = [
        (str(row["key"]), str(row["durability"]), *(_count(row[name]) for name in _JUDGED))
        for _, row in summary.losses(trials).iterrows()
    ]
    return Table((*texts("store", "durability"), *numbers(*_JUDGED.values())), rows)


_JUDGED = {
    "lost": "lost",
    "written_twice": "written twice",
    "written_though_refused": "written though refused",
    "refused_though_written": "refused though written",
    "unknown_written": "unknown, and written",
    "unknown_lost": "unknown, and not written",
    "broken": "broken promises",
}


def trouble_unreached(faults: pd.DataFrame) -> Table | Lines:
    """What was not carried out, and why."""
    missing = faults[faults["why_not"] != ""]
    rows = [
        (str(key), ", ".join(dict.fromkeys(group["fault"])), str(why))
        for (key, why), group in missing.groupby(["key", "why_not"], sort=False)
    ]
    if not rows:
        return Lines((), empty="Every fault was carried out on every store.")
    return Table(texts("store", "not reached", "why"), rows)


def trouble_evidence(faults: pd.DataFrame) -> Table | Lines:
    """Which clients had acknowledgements of what is now missing."""
    found = faults[faults["evidence"] != ""]
    rows = [
        (str(row["key"]), str(row["fault"]), _count(row["lost"]), str(row["evidence"]))
        for _, row in found.iterrows()
    ]
    if not rows:
        return Lines((), empty="")
    return Table((*texts("store", "fault"), *numbers("lost"), *texts("the first of them")), rows)


def _away(row: pd.Series) -> str:
    if not row["reached"]:
        return "not reached"
    return _seconds(row["silent_s"]) + ("" if row["came_back"] else " +")


def _cell(name: str, value: float) -> str:
    if name.endswith("_s"):
        return _seconds(value)
    return formatting.duration(value) if name.endswith("_ns") else _count(value)


def _seconds(value: float) -> str:
    return formatting.MISSING if pd.isna(value) else formatting.duration(value * _NS_A_S)


def _count(value: float) -> str:
    return formatting.MISSING if pd.isna(value) else f"{int(value):,}"


def time_line(
    trial: pd.Series, intervals: pd.DataFrame, faults: pd.DataFrame, about: About
) -> Drawing:
    """One trial: rate, service time and work in flight by the second, faults as bands.

    What its flags tell is drawn, so they are left out.
    """
    rows = intervals[intervals["trial_id"] == trial["trial_id"]]
    bands = _bands(trial, rows, faults)
    height = _STRIP_IN + 3 * _PANEL_IN + 2 * _GAP_IN + _AXIS_IN
    plain = pd.DataFrame([trial]).assign(flags="[]")
    below_it = caption(plain, replace(about, flags=()))
    with styled():
        sheet = Sheet(_words(trial, bands, below_it), height)
        mark, last_s = about.marks[str(trial["key"])], _last_s(rows)
        strip = sheet.panel(_STRIP_IN, left=_LEFT_IN, right=_RIGHT_IN, below=0)
        _names(strip, bands, last_s)
        rate = (rows["ok"] / rows["length_s"]).astype("float64")
        for place, draw in enumerate((_rate, _times, _in_flight)):
            below = _GAP_IN if place < 2 else _AXIS_IN  # noqa: PLR2004 — the last has the axis
            axes = sheet.panel(_PANEL_IN, left=_LEFT_IN, right=_RIGHT_IN, below=below)
            _shade(axes, bands, last_s)
            draw(axes, rows.assign(per_s=rate), mark)
            axes.set_xlim(0, last_s)
            axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
            if below == _GAP_IN:
                axes.tick_params(labelbottom=False)
        axes.set_xlabel("second of the measurement", color=MUTED, fontsize=SMALL_PT)
    return sheet.figure


def _bands(trial: pd.Series, rows: pd.DataFrame, faults: pd.DataFrame) -> pd.DataFrame:
    """Those of the trial that happened: name, from and to in seconds."""
    mine = faults[(faults["trial_id"] == trial["trial_id"]) & faults["began_s"].notna()]
    to_s = mine["back_s"].fillna(_last_s(rows)).clip(upper=_last_s(rows))
    return pd.DataFrame({"fault": mine["fault"], "from_s": mine["began_s"], "to_s": to_s})


def _last_s(rows: pd.DataFrame) -> float:
    return max(float(rows["length_s"].sum()), 1.0)


def _shade(axes: Axes, bands: pd.DataFrame, last_s: float) -> None:
    for _, band in bands.iterrows():
        to_s = max(band["to_s"], band["from_s"] + _NARROWEST * last_s)
        axes.axvspan(band["from_s"], to_s, color=ORANGE, alpha=0.16, linewidth=0)
        axes.axvline(band["from_s"], color=ORANGE, linewidth=0.8)


def _names(axes: Axes, bands: pd.DataFrame, last_s: float) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, last_s)
    axes.set_ylim(0, 1)
    for _, band in bands.iterrows():
        axes.text(band["from_s"], 0.03, str(band["fault"]), rotation=90, fontsize=SMALL_PT,
                  color=INK, va="bottom", ha="center")  # fmt: skip


def _rate(axes: Axes, rows: pd.DataFrame, mark: Mark) -> None:
    axes.step(rows["second"], rows["per_s"], where="post", color=mark.colour, linewidth=1.2)
    axes.set_ylim(0, max(rows["per_s"].max() * _ROOM, 1))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: formatting.short(y)))
    _head(axes, "ops a second")


def _times(axes: Axes, rows: pd.DataFrame, mark: Mark) -> None:
    """The 99th percentile where a second has enough operations for one, else the longest."""
    kept = rows["service_p99_ns"].notna().any()
    times_ns = rows["service_p99_ns" if kept else "service_max_ns"].astype("float64")
    drawn = times_ns.dropna().to_numpy()
    middle = rows["second"] + rows["length_s"] / 2
    axes.plot(middle, times_ns, color=mark.colour, marker=".", markersize=3, linewidth=1.0)
    log_time(axes, axes.yaxis, drawn.astype("float64"))
    _head(axes, "p99" if kept else "longest time")


def _in_flight(axes: Axes, rows: pd.DataFrame, mark: Mark) -> None:
    axes.step(rows["second"], rows["in_flight"].astype("float64"), where="post",
              color=mark.colour, linewidth=1.2)  # fmt: skip
    axes.set_ylim(0, max(float(rows["in_flight"].max()) * _ROOM, 1))
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    _head(axes, "in flight")


def _head(axes: Axes, text: str) -> None:
    axes.set_ylabel(text, color=MUTED, fontsize=SMALL_PT)
    axes.yaxis.set_label_coords(-_LABEL_IN / _PLOT_IN, 0.5)


def _words(trial: pd.Series, bands: pd.DataFrame, below: str) -> Words:
    happened = "; ".join(
        f"{band['fault']} from {band['from_s']:.1f} to {band['to_s']:.1f} s"
        for _, band in bands.iterrows()
    )
    return Words(
        title=str(trial["key"]),
        subtitle="a band is a fault, until it was taken back: a killed server answers again",
        caption=below,
        alternative=f"Rate, service time and operations in flight of {trial['key']} by the second."
        f" Faults: {happened or 'none happened'}.",
    )


def time_lines(
    trials: pd.DataFrame, intervals: pd.DataFrame, faults: pd.DataFrame, about: About
) -> Iterator[Drawing]:
    """The first repetition of each store that had a fault and measured something."""
    with_faults = trials[trials["trial_id"].isin(faults["trial_id"])]
    for _, group in with_faults.groupby(["key", "point"], sort=False):
        measured = group[group["trial_id"].isin(intervals["trial_id"])]
        if len(measured):
            yield time_line(measured.iloc[0], intervals, faults, about)
