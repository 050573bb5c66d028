"""What a scenario varied, as an axis: the name with the most values, and the rest in words."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

import pandas as pd

Point = Mapping[str, object]


def varied_axis(trials: pd.DataFrame, *, falling: Collection[str] = ()) -> pd.DataFrame:
    """A row a trial: `x_name`, the varied name with the most values; `x`, its place; `x_label`.

    Places rise with the value, or fall for names in `falling`. `panel` says what else was varied.
    """
    points = [json.loads(point) for point in trials["point"]]
    name = _varied_most(points)
    order = _order(points, name, falling=name in falling)
    columns = {
        "x_name": [name] * len(points),
        "x": [order[_value(point, name)] for point in points],
        "x_label": [_value(point, name) for point in points],
        "panel": [_rest(point, name) for point in points],
    }
    return pd.DataFrame(columns, index=trials.index)


def _varied_most(points: Sequence[Point]) -> str:
    names = list(dict.fromkeys(name for point in points for name in point))
    return max(names, key=lambda name: len({_value(point, name) for point in points}), default="")


def _order(points: Sequence[Point], name: str, *, falling: bool) -> dict[str, int]:
    values = {_value(point, name): point.get(name) for point in points}
    ordered = sorted(values, key=lambda label: _sortable(values[label]), reverse=falling)
    return {label: place for place, label in enumerate(ordered)}


def _value(point: Point, name: str) -> str:
    value = point.get(name)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _sortable(value: object) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return 0, float(value), ""
    return 1, 0.0, str(value)


def _rest(point: Point, name: str) -> str:
    return ", ".join(f"{other} = {_value(point, other)}" for other in point if other != name)
