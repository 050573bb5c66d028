"""Reads the history file and checks each row; adds rows at its end."""

from __future__ import annotations

import csv
import errno
import io
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from harness.analysis.trends.series import COLUMNS
from harness.domain.errors import BadInput, LabError
from harness.domain.files import add_to_file, alone_in, require_own

_TEXT = (
    "time", "run", "commit", "dirty", "scenario", "scenario_hash", "key", "point", "durability",
    "environment", "load_label", "server_version",
)  # fmt: skip
_NUMBERS = tuple(name for name in COLUMNS if name not in _TEXT)
_REQUIRED = ("run", "scenario_hash", "key")
_MAY_SHRINK = "disk"
"""Growth of the data; it is negative if a store frees space."""


def parsed(text: str, source: str) -> pd.DataFrame:
    """All rows in order. Raises `BadInput` in one line with the source and the line number."""
    rows = _rows(text, source)
    cells = [values for _, values in rows]
    frame = pd.DataFrame(cells, columns=list(COLUMNS), index=[line for line, _ in rows])
    for line, row in frame.iterrows():
        if why := _odd(row):
            raise BadInput(f"{source}:{line}: {why}")
    numbers = {name: _numbers(frame[name], source) for name in _NUMBERS}
    return frame.astype("string").assign(**numbers).reset_index(drop=True)


def _rows(text: str, source: str) -> list[tuple[int, list[str]]]:
    """The line number at which each row ends, and its cells; skips empty lines."""
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        _require_columns(next(reader, []), source)
        rows = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise BadInput(f"{source}:{reader.line_num}: not a history, or cut off: {error}") from None
    if not text.endswith("\n"):
        raise BadInput(f"{source}: cut off in its last line")
    for line, cells in rows:
        if len(cells) != len(COLUMNS):
            reason = f"expected {len(COLUMNS)} cells, got {len(cells)}"
            raise BadInput(f"{source}:{line}: not a history, or cut off: {reason}")
    return rows


def _require_columns(head: Sequence[str], source: str) -> None:
    if tuple(head) != COLUMNS:
        odd = [name for name in (*head, *COLUMNS) if (name in head) != (name in COLUMNS)]
        reason = f"column {odd[0]}" if odd else "another order"
        raise BadInput(f"{source}: not a history of this lab: {reason}")


def _odd(row: pd.Series) -> str:
    """Why this row is not one that a run writes; empty for a valid row."""
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
    """The cells as numbers, NaN for empty ones. Raises `BadInput` for the first other cell."""
    given = cells.where(cells != "")
    numbers = pd.to_numeric(given, errors="coerce").astype("float64")
    odd = given[given.notna() & ~np.isfinite(numbers)]
    if len(odd):
        reason = f"column {cells.name}: {odd.iloc[0]!r} is not a number"
        raise BadInput(f"{source}:{odd.index[0]}: {reason}")
    below = given[numbers < 0]
    if len(below) and cells.name != _MAY_SHRINK:
        reason = f"column {cells.name}: {below.iloc[0]} is below zero"
        raise BadInput(f"{source}:{below.index[0]}: {reason}")
    return numbers


_FULL = {errno.ENOSPC, errno.EDQUOT}


def read(path: Path) -> pd.DataFrame:
    """All rows, oldest first. Raises `BadInput` in one line."""
    if path.exists() and not path.is_file():
        raise BadInput(f"{path}: not a history, but no ordinary file either; name one with --file")
    if not path.exists():
        raise BadInput(f"{path}: no history yet; `eslab history add RUN` begins one")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{path}: not a history, or cut off: {reason}") from None
    return parsed(text, str(path))


def append(path: Path, added: pd.DataFrame) -> None:
    """Adds the rows of one run, once, however many processes add it.

    Raises `BadInput` for a run that the file already has, for a file that is not a history or a
    link to one, and for rows that no run can have.
    """
    text = added.to_csv(index=False, lineterminator="\n")
    parsed(text, "what is to be added")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone_in(path.parent):
            require_own(path)
            begun = path.exists()
            if begun:
                _require_new(path, added)
            add_to_file(path, (text.partition("\n")[2] if begun else text).encode())
    except OSError as error:
        kind = LabError if error.errno in _FULL else BadInput
        raise kind(f"{path}: cannot be written: {error.strerror}") from None


def _require_new(path: Path, added: pd.DataFrame) -> None:
    twice = set(read(path)["run"]) & set(added["run"])
    if twice:
        raise BadInput(f"{path}: {sorted(twice)[0]} is in it already")
