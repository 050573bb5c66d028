"""Whether the parts of a run belong together: one run, each trial once, numbers that can be."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from harness.errors import BadInput

_NUMBERS = ("ok", "measured_s", "throughput_per_s")
_CLOSE = 1e-6
"""How far a rate may be from what it is computed from, relative to it."""
_PLACE = ("key", "workload", "point", "repetition", "side")
"""What no two trials of a run share."""
_SIGNED = ("delivery_", "dispatch_delay_", "queue_delay_")
"""Times that may be below zero: a subscriber may be quicker than the answer to the writer."""
_MAY_SHRINK = "data_bytes_per_event"


def require_consistent(manifest: Mapping[str, Any], trials: pa.Table, folder: Path) -> None:
    """Raises `BadInput` in one line for what was edited, or put together from several runs."""
    _require_one_run(manifest, trials, folder)
    twice = [name for name, many in Counter(trials["trial_id"].to_pylist()).items() if many > 1]
    if twice:
        raise BadInput(f"{folder}: trial {twice[0]} is there twice")
    _require_places(trials, folder)
    _require_from_zero(trials, folder)
    for row in trials.select(["trial_id", "status", *_NUMBERS]).to_pylist():
        if why := _forged(row):
            raise BadInput(f"{folder}: trial {row['trial_id']}: {why}; edited")


def _require_one_run(manifest: Mapping[str, Any], trials: pa.Table, folder: Path) -> None:
    told = {"run": manifest["run"], "scenario_hash": manifest["scenario"]["hash"]}
    if any(set(trials[name].to_pylist()) - {value} for name, value in told.items()):
        raise BadInput(f"{folder}: trials and manifest are not of one run; edited or mixed up")


def _require_places(trials: pa.Table, folder: Path) -> None:
    first: dict[tuple[object, ...], str] = {}
    for row in trials.select(["trial_id", *_PLACE]).to_pylist():
        trial = row.pop("trial_id")
        other = first.setdefault(tuple(row.values()), trial)
        if other != trial:
            raise BadInput(f"{folder}: trial {trial} has the {', '.join(_PLACE)} of {other}; edited")


def _require_from_zero(trials: pa.Table, folder: Path) -> None:
    for field in trials.schema:
        if field.type not in {pa.int64(), pa.float64()} or _may_be_below_zero(field.name):
            continue
        place = pc.index(pc.less(trials[field.name], 0), value=True).as_py()
        if place >= 0:
            trial, value = trials["trial_id"][place], trials[field.name][place]
            raise BadInput(f"{folder}: trial {trial}: {field.name} is {value}, below zero; edited")


def _may_be_below_zero(name: str) -> bool:
    return name == _MAY_SHRINK or (name.startswith(_SIGNED) and name.endswith("_ns"))


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
