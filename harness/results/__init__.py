"""The run folder: written trial by trial, read back as pandas frames.

    run = load(newest())
    run.trials                      a row a trial
    run.samples(trial_id)           a row an operation

Importing this imports neither pandas nor any store, driver or server.
"""

from __future__ import annotations

from harness.results.columns import FORMAT_VERSION
from harness.results.folder import RunFolder
from harness.results.reading import Run, load, newest, newest_matrix
from harness.results.tables import TableWriter, concatenate

__all__ = [
    "FORMAT_VERSION",
    "Run",
    "RunFolder",
    "TableWriter",
    "concatenate",
    "load",
    "newest",
    "newest_matrix",
]
