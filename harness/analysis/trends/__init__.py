"""The history of results: an append-only CSV file, one row for each run, store and point."""

from __future__ import annotations

from harness.analysis.trends.changes import Change, changes
from harness.analysis.trends.history_file import append, read
from harness.analysis.trends.series import COLUMNS, SERIES, asked, called, point, rows

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
