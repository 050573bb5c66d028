"""The trials as CSV and as JSON records: every column, every number as it is in trials.parquet."""

from __future__ import annotations

import json as json_
from typing import Any

import pandas as pd

from harness.results import Run


def csv(run: Run) -> str:
    """A row a trial under a head of column names; what is missing is an empty cell."""
    return str(run.trials.to_csv(index=False, lineterminator="\n"))


def json(run: Run) -> str:
    """A list of objects, one a trial; what is missing is null. Floats keep all their digits."""
    rows = [
        {str(name): _plain(value) for name, value in row.items()}
        for row in run.trials.to_dict(orient="records")
    ]
    return json_.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> object:
    """pandas' own `to_json` rounds floats to ten digits, so the values are made plain here."""
    if pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value
