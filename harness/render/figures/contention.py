"""Goodput, conflicts and retries by contention: one panel for each, one line for each store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from harness.analysis.summary import contention as summarised
from harness.domain import formatting
from harness.render.figures.lines import AXIS_IN, Name, name_lines, panel, panel_height_in, room_in
from harness.render.figures.sheet import HEAD_IN, About, Drawing, Sheet, Words, caption
from harness.render.figures.style import MUTED, SMALL_PT, styled

_ROOM = 1.06


@dataclass(frozen=True, slots=True)
class Measure:
    """A panel: the column that it shows. Without `always`, only if some trial has more than 0."""

    column: str
    title: str
    always: bool = True


_MEASURES = (
    Measure("goodput_per_s", "goodput, operations that ended well a second"),
    Measure("conflicts_per_op", "conflicts an operation"),
    Measure("retries_per_op", "retries an operation"),
    Measure("refused_per_op", "operations refused for another reason, as a share", always=False),
)


def contention(trials: pd.DataFrame, about: About) -> Drawing:
    """The trials of one load and durability class by point; contention rises to the right.

    Lines join medians; every repetition is a dot. Trials that do not count are hollow and not
    joined.
    """
    rows = summarised(trials)
    return by_contention(rows, _MEASURES, _words(trials, rows, about), about)


def by_contention(
    rows: pd.DataFrame, panels: Sequence[Measure], words: Words, about: About
) -> Drawing:
    """Panels over the places of rising contention, one line for each store."""
    measures = [each for each in panels if each.always or rows[each.column].gt(0).any()]
    names = [_names(rows, measure) for measure in measures]
    heights = sum(panel_height_in(each) + AXIS_IN + HEAD_IN for each in names)
    right = room_in(name for each in names for name in each)
    with styled():
        sheet = Sheet(words, heights)
        for measure, named in zip(measures, names, strict=True):
            sheet.head(measure.title)
            axes = panel(sheet, named, right)
            for key, group in rows.groupby("key"):
                _draw(axes, group.dropna(subset=[measure.column]), measure, about, str(key))
            _axes(axes, rows, measure)
            name_lines(axes, named, about.marks)
    return sheet.figure


def _words(trials: pd.DataFrame, rows: pd.DataFrame, about: About) -> Words:
    return words(trials, rows, about, title="Contention · ", alternative=_alternative(rows))


def words(
    trials: pd.DataFrame, rows: pd.DataFrame, about: About, *, title: str, alternative: str
) -> Words:
    """The texts of a figure of these trials; their durability class ends its title."""
    durability = str(trials["durability"].iloc[0]) or "durability unknown"
    without = sorted(set(rows["key"]) - set(rows.dropna(subset=["goodput_per_s"])["key"]))
    extra = [f"at {rows['panel'].iloc[0]}"] if rows["panel"].iloc[0] else []
    extra += [f"without numbers: {', '.join(without)}"] if without else []
    return Words(
        title=f"{title}{durability}",
        subtitle="a dot a repetition, lines join medians; hollow: not counted",
        caption=caption(trials, about, extra=extra),
        alternative=alternative,
    )


def medians(rows: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Medians by key and place of the trials that count, or of all trials if none counts."""
    known = rows.dropna(subset=[measure.column])
    counted = known[known["reason"] == ""]
    never = known[~known["key"].isin(counted["key"])]
    both = pd.concat([counted, never])
    return both.groupby(["key", "x"])[measure.column].median().reset_index()


def _names(rows: pd.DataFrame, measure: Measure) -> list[Name]:
    ends = medians(rows, measure).sort_values("x").groupby("key", as_index=False).last()
    return [
        Name(str(row["key"]), float(row["x"]), float(row[measure.column]))
        for _, row in ends.iterrows()
    ]


def _draw(axes: Axes, group: pd.DataFrame, measure: Measure, about: About, key: str) -> None:
    mark = about.marks[key]
    middle = medians(group, measure)
    axes.plot(middle["x"], middle[measure.column], color=mark.colour, linestyle=mark.dashes,
              linewidth=1.4, alpha=0.85)  # fmt: skip
    for counts, dots in group.groupby(group["reason"] == ""):
        axes.plot(dots["x"], dots[measure.column], linestyle="", marker=mark.marker, markersize=5,
                  color=mark.colour, alpha=0.75, clip_on=False,
                  markerfacecolor=mark.colour if counts else "none")  # fmt: skip


def _axes(axes: Axes, rows: pd.DataFrame, measure: Measure) -> None:
    labels = dict(zip(rows["x"], rows["x_label"], strict=True))
    highest = rows[measure.column].max()
    axes.set_ylim(0, highest * _ROOM if highest > 0 else 1)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: formatting.short(y)))
    axes.set_xlim(-0.25, max(labels) + 0.25)
    axes.xaxis.set_major_locator(FixedLocator(sorted(labels)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: labels.get(round(x), "")))
    name = str(rows["x_name"].iloc[0])
    label = f"{name}, contention rising →" if name else "nothing varied in this run"
    axes.set_xlabel(label, color=MUTED, fontsize=SMALL_PT)


def _alternative(rows: pd.DataFrame) -> str:
    """Conflicts at the least and at the most contended point."""
    middle = medians(rows, _MEASURES[1]).sort_values("x")
    changes = [
        f"{key} from {group['conflicts_per_op'].iloc[0]:.2f} to"
        f" {group['conflicts_per_op'].iloc[-1]:.2f}"
        for key, group in middle.groupby("key")
    ]
    return "Conflicts an operation as contention rises: " + "; ".join(changes) + "."
