"""Whether the parts of a run belong together: one run, each trial once, rates that follow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from harness.errors import BadInput

_NUMBERS = ("ok", "measured_s", "throughput_per_s")
_CLOSE = 1e-6
"""How far a rate may be from what it is computed from, relative to it."""


def require_consistent(manifest: Mapping[str, Any], trials: pa.Table, folder: Path) -> None:
    """Raises `BadInput` in one line for what was edited, or put together from several runs."""
    _require_one_run(manifest, trials, folder)
    twice = [name for name, many in Counter(trials["trial_id"].to_pylist()).items() if many > 1]
    if twice:
        raise BadInput(f"{folder}: trial {twice[0]} is there twice")
    for row in trials.select(["trial_id", "status", *_NUMBERS]).to_pylist():
        if why := _forged(row):
            raise BadInput(f"{folder}: trial {row['trial_id']}: {why}; edited")


def _require_one_run(manifest: Mapping[str, Any], trials: pa.Table, folder: Path) -> None:
    told = {"run": manifest["run"], "scenario_hash": manifest["scenario"]["hash"]}
    if any(set(trials[name].to_pylist()) - {value} for name, value in told.items()):
        raise BadInput(f"{folder}: trials and manifest are not of one run; edited or mixed up")


def _forged(row: Mapping[str, Any]) -> str:
    """Why the throughput cannot be believed. A trial that is not done may be without one."""
    if row["throughput_per_s"] is None and row["status"] != "done":
        return ""
    missing = [name for name in _NUMBERS if row[name] is None or math.isnan(row[name])]
    if missing:
        return f"it has a result, but no {missing[0]}"
    ok, measured_s, per_s = (row[name] for name in _NUMBERS)
    follows = measured_s > 0 and math.isclose(per_s, ok / measured_s, rel_tol=_CLOSE)
    return "" if follows else "throughput is not ok ÷ measured_s"
