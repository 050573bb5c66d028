"""Trials of pairs with ratios that a test chooses: TEST DATA only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.results.columns import TRIALS

BASE = {"throughput_per_s": 1000.0, "service_p50_ns": 1e6, "server_cpu_per_event_us": 50.0}


def trials(side: str = "", *, key: str = "postgres", pairs: int = 10, **columns) -> pd.DataFrame:
    """Valid closed trials, one a repetition; a column is one value, or a value a repetition."""
    rows = pd.DataFrame({column.name: [None] * pairs for column in TRIALS})
    told = {
        "run": "made", "scenario": "made-up", "scenario_hash": "0" * 64, "key": key,
        "workload": "append", "load": "closed", "load_label": "closed, 8 workers", "point": "{}",
        "point_label": "", "side": side, "status": "done", "valid": True, "verified": "ok",
        "flags": "[]", "durability": "power-loss safe as configured", "rate_found": "",
        "first_violation": "", "message": "", "server_version": "18", "ok": 1000,
        "repetition": range(1, pairs + 1),
        "trial_id": [f"{number:03d}-{key}" for number in range(1, pairs + 1)],
    }  # fmt: skip
    rows = rows.assign(**(told | BASE | columns))
    numbers = [column.name for column in TRIALS if column.kind == "float"]
    rows[numbers] = rows[numbers].astype(float)
    return rows.assign(measured_s=rows["ok"] / rows["throughput_per_s"])


def sides(logs: Sequence[float], column: str = "throughput_per_s", start: float = 1000.0):
    """Base and candidate whose pairs have these log ratios in one column, alike in the others."""
    base = trials("base", pairs=len(logs), **{column: start})
    moved = start * np.exp(np.asarray(logs, float))
    return base, trials("candidate", pairs=len(logs), **{column: moved})
