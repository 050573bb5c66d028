"""How the numbers go over weeks: an append-only CSV file, a row a run, store and point."""

from __future__ import annotations

from harness.trends.changes import Change, changes
from harness.trends.file import append, read
from harness.trends.rows import COLUMNS, rows
from harness.trends.series import SERIES, asked, called, point

__all__ = [
    "COLUMNS",
    "SERIES",
    "Change",
    "append",
    "asked",
    "called",
    "changes",
    "point",
    "read",
    "rows",
]
