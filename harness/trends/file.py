"""The history file: rows are added at its end, and nothing in it is ever changed."""

from __future__ import annotations

import csv
import errno
import io
from pathlib import Path

import numpy as np
import pandas as pd

from harness.errors import BadInput, LabError
from harness.trends.rows import COLUMNS

_TEXT = (
    "time", "run", "commit", "dirty", "scenario", "scenario_hash", "key", "point", "durability",
    "environment", "load_label", "server_version",
)  # fmt: skip
_FULL = {errno.ENOSPC, errno.EDQUOT}
_NUMBERS = tuple(name for name in COLUMNS if name not in _TEXT)


def read(path: Path) -> pd.DataFrame:
    """Every row, in the order in which they were added. Raises `BadInput` in one line."""
    if not path.is_file():
        raise BadInput(f"{path}: no history yet; `eslab history add RUN` begins one")
    try:
        text = path.read_text(encoding="utf-8")
        _require_columns(path, text)
        types = dict.fromkeys(_TEXT, "string") | dict.fromkeys(_NUMBERS, "object")
        frame = pd.read_csv(
            io.StringIO(text), dtype=types, keep_default_na=False, na_values=[""],
            skip_blank_lines=False,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        told = str(error).splitlines()[0]
        raise BadInput(f"{path}: not a history, or cut off: {told}") from None
    if not text.endswith("\n"):
        raise BadInput(f"{path}: cut off in its last line")
    frame = frame.dropna(how="all")
    frame[list(_TEXT)] = frame[list(_TEXT)].fillna("")
    numbers = {name: _numbers(path, frame[name]) for name in _NUMBERS}
    return frame.assign(**numbers).reset_index(drop=True)


def append(path: Path, added: pd.DataFrame) -> None:
    """Add rows of one run. Raises `BadInput` for a run that is there, and for another file."""
    if path.exists():
        known = read(path)
        twice = set(known["run"]) & set(added["run"])
        if twice:
            raise BadInput(f"{path}: {sorted(twice)[0]} is in it already")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="") as file:
            added.to_csv(file, header=file.tell() == 0, index=False, lineterminator="\n")
    except OSError as error:
        kind = LabError if error.errno in _FULL else BadInput
        raise kind(f"{path}: cannot be written: {error.strerror}") from None


def _numbers(path: Path, cells: pd.Series) -> pd.Series:
    """The cells as numbers; empty ones stay so. Raises `BadInput` for the first other text."""
    numbers = pd.to_numeric(cells, errors="coerce")
    odd = cells[cells.notna() & ~np.isfinite(numbers)]
    if len(odd):
        place, cell = odd.index[0], odd.iloc[0]
        line = place + 2  # counted from 1, and the head is one
        raise BadInput(f"{path}:{line}: column {cells.name}: {cell!r} is not a number")
    return numbers


def _require_columns(path: Path, text: str) -> None:
    head = next(csv.reader(io.StringIO(text)), [])
    if tuple(head) != COLUMNS:
        odd = [name for name in (*head, *COLUMNS) if (name in head) != (name in COLUMNS)]
        told = f"column {odd[0]}" if odd else "another order"
        raise BadInput(f"{path}: not a history of this lab: {told}")
