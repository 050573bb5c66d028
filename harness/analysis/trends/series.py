"""The series of the history, and the rows that a run adds to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis import summary
from harness.analysis.comparison import RATIOS, Metric, fingerprint
from harness.analysis.stored_times import median_time
from harness.domain import formatting
from harness.domain.errors import BadInput
from harness.domain.placement import placement_of

SERIES = ("scenario_hash", "key", "point", "durability", "environment")
"""Rows that agree in these columns are one series: same scenario, store, point and machine.

`environment` is the machine, and where generator and server had cores of their own, these: such
runs are no series with those that shared cores.
"""
_HASH = 8

Row = pd.Series | Mapping[str, Any]
"""A row of the history, or a change as a mapping; the functions here read what both have."""


def called(row: Row) -> str:
    """The name of a row's or change's series, with everything that distinguishes it."""
    parts = (
        row["key"], asked(row), row["load_label"], point(row), row["durability"],
        f"machine {row['environment']}",
    )  # fmt: skip
    return ", ".join(filter(None, parts))


def asked(row: Row) -> str:
    """The scenario's name and hash; the hash changes with its content, even if the name stays."""
    return f"{row['scenario']} {row['scenario_hash'][:_HASH]}".strip()


def point(row: Row) -> str:
    """The point in words; empty where nothing varies."""
    return formatting.point(json.loads(row["point"] or "{}"))


_ABOUT = (
    "time", "run", "commit", "dirty", "scenario", *SERIES, "load_label", "server_version",
    "repetitions",
)  # fmt: skip
COLUMNS = (*_ABOUT, *(metric.name for metric in RATIOS), "p99")
"""Units are those of the metrics. p99 is in ns; it is for reading only, too noisy for decisions."""
_KEYS = ["key", "point", "durability", "load_label"]


def rows(manifest: Mapping[str, Any], trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each store and point, without trials of the base of a comparison.

    Raises `BadInput` for a run without a valid trial.
    """
    counted = summary.that_count(trials[trials["side"] != "base"])
    if not len(counted):
        raise BadInput(f"{manifest.get('run')}: no valid trial to add")
    about = _about(manifest)
    records = [
        about
        | dict(zip(_KEYS, map(str, names), strict=True))
        | {"repetitions": len(mine), "server_version": str(mine["server_version"].iloc[0])}
        | {"environment": _environment(manifest, mine)}
        | _medians(mine)
        for names, mine in counted.groupby(_KEYS, sort=False)
    ]
    return pd.DataFrame(records, columns=list(COLUMNS))


def _about(manifest: Mapping[str, Any]) -> dict[str, Any]:
    commit = manifest.get("commit", {})
    return {
        "time": manifest["started_at"],
        "run": manifest["run"],
        "commit": commit.get("commit", ""),
        "dirty": bool(commit.get("dirty")),
        "scenario": manifest["scenario"]["name"],
        "scenario_hash": manifest["scenario"]["hash"],
    }


def _environment(manifest: Mapping[str, Any], trials: pd.DataFrame) -> str:
    """The machine; where both sides ran apart, their cores too. Older runs shared theirs."""
    machine = fingerprint(manifest.get("environment", {}))
    placements = [placement_of(dict(row), manifest) for _, row in trials.iterrows()]
    apart = sorted({str(each) for each in placements if each.apart})
    return "; ".join([machine, *apart])


def _medians(trials: pd.DataFrame) -> dict[str, float]:
    medians = {metric.name: _median(metric, metric.values(trials)) for metric in RATIOS}
    service, response = trials["service_p99_ns"], trials["response_p99_ns"]
    p99 = service.where(trials["load"] == "closed", response)
    return medians | {"p99": median_time(p99)}


def _median(metric: Metric, values: np.ndarray) -> float:
    if metric.unit == "ns":
        return median_time(pd.Series(values))
    return float("nan") if np.isnan(values).any() else float(np.median(values))
