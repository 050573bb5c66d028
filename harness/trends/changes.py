"""Change points, found by Apache Otava in an environment of its own: it pins old libraries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.compare import METRICS
from harness.errors import LabError, MissingExtra
from harness.trends.series import SERIES

VARIABLE = "ESLAB_OTAVA"
HOW = (
    "change points need Apache Otava in an environment of its own: pipx install apache-otava,"
    f" or name its command in {VARIABLE}"
)
POINTS_MIN = 4
"""A series of fewer rows has no before and after."""


@dataclass(frozen=True, slots=True)
class Change:
    """From this run on a metric is another. An alert to look at, never a failed build.

    It has all of `SERIES`, as the rows have that it is about.
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
    """Mean since the change before, in the metric's unit."""
    after: float
    """Mean until the next."""
    p_value: float | None

    @property
    def ratio(self) -> float:
        """After ÷ before."""
        return self.after / self.before if self.before else float("nan")

    @property
    def row(self) -> tuple[str, ...]:
        """Where it is: the cells of `SERIES`, then the run."""
        return (*(getattr(self, name) for name in SERIES), self.run)


def changes(history: pd.DataFrame, *, least: float) -> list[Change]:
    """All change points of at least this magnitude (a share). Raises `MissingExtra`."""
    otava = _otava()
    found: list[Change] = []
    for _, series in history.groupby(list(SERIES), sort=False, dropna=False):
        if len(series) >= POINTS_MIN:
            found += _changes(otava, series.reset_index(drop=True), least)
    return found


def _otava() -> str:
    found = shutil.which(os.environ.get(VARIABLE) or "otava")
    if found is None:
        raise MissingExtra(HOW)
    return found


def _changes(otava: str, series: pd.DataFrame, least: float) -> Iterator[Change]:
    """Rows are numbered as seconds: what counts is their order, not how old they are."""
    first = series.iloc[0]
    about = {name: str(first[name]) for name in (*SERIES, "scenario", "load_label")}
    for metric in METRICS:
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
    """What Otava says of one series: place, mean before, mean after, p value."""
    with tempfile.TemporaryDirectory(prefix="eslab-otava-") as scratch:
        folder = Path(scratch)
        table = pd.DataFrame({"time": _ordered(len(values)), "place": range(len(values))})
        table.assign(value=values).to_csv(folder / "series.csv", index=False)
        (folder / "otava.yaml").write_text(json.dumps(_config(folder / "series.csv")))
        told = _run(otava, folder, least)
    for group in told.get("series", []):
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
    """One made-up minute a row, all in the past day or so: Otava leaves older rows out."""
    end = pd.Timestamp.now(tz="UTC").floor("min")
    times = pd.date_range(end=end - pd.Timedelta(minutes=1), periods=count, freq="min")
    return [time.strftime("%Y-%m-%d %H:%M:%S %z") for time in times]


def _run(otava: str, folder: Path, least: float) -> dict[str, Any]:
    command = [
        otava, "analyze", "series", "--config-file", str(folder / "otava.yaml"), "--output", "json",
        "--magnitude", str(least),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    try:
        told = json.loads(done.stdout)
    except ValueError:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise LabError(f"{otava}: expected JSON; it said: {said}") from None
    return dict(told)
