"""A history with one small made-up run in it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from harness import results
from harness.analysis.trends import append, rows
from tests.made_run import POSTGRES, SQLITE, Made, made_run

SMALL = Made((SQLITE, POSTGRES), repetitions=3, operations=500, keep_samples=False)


def rows_of(folder: Path) -> pd.DataFrame:
    """What a run adds to a history."""
    found = results.load(folder)
    return rows(found.manifest, found.trials)


def made_history(folder: Path) -> Path:
    """The file."""
    path = folder / "history.csv"
    append(path, rows_of(made_run(folder, SMALL)))
    return path
