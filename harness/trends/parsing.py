"""The text of a history as a frame; each row is held against what a run could have written."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd

from harness.errors import BadInput
from harness.trends.rows import COLUMNS

_TEXT = (
    "time", "run", "commit", "dirty", "scenario", "scenario_hash", "key", "point", "durability",
    "environment", "load_label", "server_version",
)  # fmt: skip
_NUMBERS = tuple(name for name in COLUMNS if name not in _TEXT)
_REQUIRED = ("run", "scenario_hash", "key")
_MAY_SHRINK = "disk"
"""Growth of the data: below zero where a store gave some back."""


def parsed(text: str, source: str) -> pd.DataFrame:
    """Every row, in its order. Raises `BadInput` in one line with the source and the line."""
    rows = _rows(text, source)
    cells = [found for _, found in rows]
    frame = pd.DataFrame(cells, columns=list(COLUMNS), index=[line for line, _ in rows])
    for line, row in frame.iterrows():
        if why := _odd(row):
            raise BadInput(f"{source}:{line}: {why}")
    numbers = {name: _numbers(frame[name], source) for name in _NUMBERS}
    return frame.astype("string").assign(**numbers).reset_index(drop=True)


def _rows(text: str, source: str) -> list[tuple[int, list[str]]]:
    """The cells of each row and the line on which it ends; empty lines are left out."""
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        _require_columns(next(reader, []), source)
        found = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise BadInput(f"{source}:{reader.line_num}: not a history, or cut off: {error}") from None
    if not text.endswith("\n"):
        raise BadInput(f"{source}: cut off in its last line")
    for line, cells in found:
        if len(cells) != len(COLUMNS):
            told = f"expected {len(COLUMNS)} cells, got {len(cells)}"
            raise BadInput(f"{source}:{line}: not a history, or cut off: {told}")
    return found


def _require_columns(head: Sequence[str], source: str) -> None:
    if tuple(head) != COLUMNS:
        odd = [name for name in (*head, *COLUMNS) if (name in head) != (name in COLUMNS)]
        told = f"column {odd[0]}" if odd else "another order"
        raise BadInput(f"{source}: not a history of this lab: {told}")


def _odd(row: pd.Series) -> str:
    """Why no run has written the text of this row."""
    for name in _REQUIRED:
        if not row[name]:
            return f"column {name} is empty"
    if not _is_time(row["time"]):
        return f"column time: {row['time']!r} is not a time"
    if not _is_point(row["point"]):
        return f"column point: {row['point']!r} is not a JSON object"
    return ""


def _is_time(cell: str) -> bool:
    try:
        datetime.fromisoformat(cell)
    except ValueError:
        return False
    return True


def _is_point(cell: str) -> bool:
    try:
        return isinstance(json.loads(cell), dict)
    except (ValueError, RecursionError):
        return False


def _numbers(cells: pd.Series, source: str) -> pd.Series:
    """The cells as numbers; empty ones stay so. Raises `BadInput` for the first other one."""
    given = cells.where(cells != "")
    numbers = pd.to_numeric(given, errors="coerce").astype("float64")
    odd = given[given.notna() & ~np.isfinite(numbers)]
    if len(odd):
        told = f"column {cells.name}: {odd.iloc[0]!r} is not a number"
        raise BadInput(f"{source}:{odd.index[0]}: {told}")
    below = given[numbers < 0]
    if len(below) and cells.name != _MAY_SHRINK:
        told = f"column {cells.name}: {below.iloc[0]} is below zero"
        raise BadInput(f"{source}:{below.index[0]}: {told}")
    return numbers
