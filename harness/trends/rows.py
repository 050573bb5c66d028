"""A run as rows of the history: medians of its valid trials, keyed so that alike meets alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from harness import summary
from harness.compare import METRICS, fingerprint
from harness.errors import BadInput
from harness.trends.series import SERIES

_ABOUT = (
    "time", "run", "commit", "dirty", "scenario", *SERIES, "load_label", "server_version",
    "repetitions",
)  # fmt: skip
COLUMNS = (*_ABOUT, *(metric.name for metric in METRICS), "p99")
"""Units are those of the metrics; p99 is in ns, kept to look at, too noisy to decide on."""
_KEYS = ["key", "point", "durability", "load_label"]


def rows(manifest: Mapping[str, Any], trials: pd.DataFrame) -> pd.DataFrame:
    """A row a store and point; trials of the base of a comparison are left out.

    Raises `BadInput` for a run without a valid trial.
    """
    counted = summary.that_count(trials[trials["side"] != "base"])
    if not len(counted):
        raise BadInput(f"{manifest.get('run')}: no valid trial to remember")
    about = _about(manifest)
    found = [
        about
        | dict(zip(_KEYS, map(str, names), strict=True))
        | {"repetitions": len(mine), "server_version": str(mine["server_version"].iloc[0])}
        | _medians(mine)
        for names, mine in counted.groupby(_KEYS, sort=False)
    ]
    return pd.DataFrame(found, columns=list(COLUMNS))


def _about(manifest: Mapping[str, Any]) -> dict[str, Any]:
    commit = manifest.get("commit", {})
    return {
        "time": manifest["started_at"],
        "run": manifest["run"],
        "commit": commit.get("commit", ""),
        "dirty": bool(commit.get("dirty")),
        "scenario": manifest["scenario"]["name"],
        "scenario_hash": manifest["scenario"]["hash"],
        "environment": fingerprint(manifest.get("environment", {})),
    }


def _medians(trials: pd.DataFrame) -> dict[str, float]:
    found = {metric.name: _median(metric.values(trials)) for metric in METRICS}
    service, response = trials["service_p99_ns"], trials["response_p99_ns"]
    p99 = service.where(trials["load"] == "closed", response)
    return found | {"p99": _median(p99.to_numpy(dtype=float, na_value=np.nan))}


def _median(values: np.ndarray) -> float:
    return float("nan") if np.isnan(values).any() else float(np.median(values))
