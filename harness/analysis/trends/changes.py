"""Change points from Apache Otava, which runs in its own environment: it pins old libraries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.analysis.comparison import RATIOS
from harness.analysis.trends.series import SERIES
from harness.domain.errors import LabError, MissingExtra
from harness.domain.temporary import temporary_folder

VARIABLE = "ESLAB_OTAVA"
HOW = (
    "change points need Apache Otava in an environment of its own: pipx install apache-otava,"
    f" or name its command in {VARIABLE}"
)
POINTS_MIN = 4
"""A series with fewer rows cannot have a change point."""


@dataclass(frozen=True, slots=True)
class Change:
    """A metric changes with this run. It is an alert, and never fails a build.

    It has all columns of `SERIES`, with the values of its series.
    """

    key: str
    scenario: str
    scenario_hash: str
    load_label: str
    point: str
    durability: str
    environment: str
    metric: str
    time: str
    commit: str
    run: str
    before: float
    """Mean since the previous change, in the metric's unit."""
    after: float
    """Mean until the next change."""
    p_value: float | None

    @property
    def ratio(self) -> float:
        """After ÷ before."""
        return self.after / self.before if self.before else float("nan")

    @property
    def row(self) -> tuple[str, ...]:
        """The cells of `SERIES`, then the run."""
        return (*(getattr(self, name) for name in SERIES), self.run)


def changes(history: pd.DataFrame, *, least: float) -> list[Change]:
    """All change points of at least this magnitude (a share). Raises `MissingExtra`."""
    otava = _otava()
    points: list[Change] = []
    for _, series in history.groupby(list(SERIES), sort=False, dropna=False):
        if len(series) >= POINTS_MIN:
            points += _changes(otava, series.reset_index(drop=True), least)
    return points


def _otava() -> str:
    path = shutil.which(os.environ.get(VARIABLE) or "otava")
    if path is None:
        raise MissingExtra(HOW)
    return path


def _changes(otava: str, series: pd.DataFrame, least: float) -> Iterator[Change]:
    """The change points of each metric of one series."""
    first = series.iloc[0]
    about = {name: str(first[name]) for name in (*SERIES, "scenario", "load_label")}
    for metric in RATIOS:
        values = series[["run", "time", "commit", metric.name]].dropna().reset_index(drop=True)
        if len(values) < POINTS_MIN or values[metric.name].nunique() == 1:
            continue
        for place, before, after, p_value in _asked(otava, values[metric.name], least):
            row = values.iloc[place]
            where = {name: str(row[name]) for name in ("time", "commit", "run")}
            yield Change(
                **about, **where, metric=metric.name, before=before, after=after, p_value=p_value
            )


def _asked(
    otava: str, values: pd.Series, least: float
) -> Iterator[tuple[int, float, float, float | None]]:
    """Otava's change points of one series: place, mean before, mean after, p value."""
    with temporary_folder() as folder:
        table = pd.DataFrame({"time": _ordered(len(values)), "place": range(len(values))})
        table.assign(value=values).to_csv(folder / "series.csv", index=False)
        config = json.dumps(_config(folder / "series.csv"))
        (folder / "otava.yaml").write_text(config, encoding="utf-8")
        report = _run(otava, folder, least)
    for group in report.get("series", []):
        for change in group["changes"]:
            yield _one(change, group)


def _one(change: dict[str, Any], group: dict[str, Any]) -> tuple[int, float, float, float | None]:
    place = int(group["attributes"]["place"])
    p_value = change.get("pvalue")
    before, after = float(change["mean_before"]), float(change["mean_after"])
    return place, before, after, None if p_value is None else float(p_value)


def _config(table: Path) -> dict[str, Any]:
    test = {
        "type": "csv", "file": str(table), "time_column": "time", "attributes": ["place"],
        "metrics": {"value": {"column": "value"}},
    }  # fmt: skip
    return {"tests": {"series": test}}


def _ordered(count: int) -> list[str]:
    """Artificial recent times, a minute apart: only the order counts, and Otava drops old rows."""
    end = pd.Timestamp.now(tz="UTC").floor("min")
    times = pd.date_range(end=end - pd.Timedelta(minutes=1), periods=count, freq="min")
    return [time.strftime("%Y-%m-%d %H:%M:%S %z") for time in times]


def _run(otava: str, folder: Path, least: float) -> dict[str, Any]:
    command = [
        otava, "analyze", "series", "--config-file", str(folder / "otava.yaml"), "--output", "json",
        "--magnitude", str(least),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=False, cwd=folder
    )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        message = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise LabError(f"{otava}: expected JSON; it printed: {message}") from None
    return dict(report)
