"""The export formats by name: each has a function that takes a run and returns a file's text."""

from __future__ import annotations

import json as json_
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from harness import results
from harness.domain.errors import BadInput, Refused
from harness.render.exports import markdown, trackers
from harness.results import Run
from harness.results.hlog import HLOG_FILE


def hlog(run: Run) -> str:
    """The unchanged text of `latency.hlog`. Raises `Refused` for a run without this file.

    Raises `BadInput` if it is cut off: a reader would take its last line for a shorter histogram.
    """
    path = run.path / HLOG_FILE
    if not path.is_file():
        how = "pip install 'eventstore-lab[hlog]' and run again"
        raise Refused(f"{run.path}: has no {HLOG_FILE}; {how}")
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not a histogram log") from error
    if not text.endswith("\n"):
        raise BadInput(f"{path}: cut off in its last line")
    return text


def csv(run: Run) -> str:
    """One row for each trial after a row of column names; a missing value is an empty cell."""
    return str(run.trials.to_csv(index=False, lineterminator="\n"))


def json(run: Run) -> str:
    """A list with one object for each trial; a missing value is null. Floats keep all digits."""
    rows = [
        {str(name): _plain(value) for name, value in row.items()}
        for row in run.trials.to_dict(orient="records")
    ]
    return json_.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> object:
    """The value as a JSON type. `to_json` of pandas would round floats to ten digits."""
    if pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value


Exporter = Callable[[results.Run], str]

FORMATS: Mapping[str, Exporter] = MappingProxyType(
    {
        "csv": csv,
        "json": json,
        "bmf": trackers.bmf,
        "gha": trackers.bigger_is_better,
        "gha-smaller": trackers.smaller_is_better,
        "hlog": hlog,
        "markdown": markdown.markdown,
    }
)
"""The values of `eslab export --format`. `gha` has rates, `gha-smaller` times and costs: the action
that reads them accepts one direction in a file."""


def export(folder: Path, name: str) -> str:
    """The run in this format. Raises `BadInput`, and `Refused` if no trial ended."""
    exporter = FORMATS.get(name)
    if exporter is None:
        raise BadInput(f"--format {name}: expected one of {', '.join(FORMATS)}")
    run = results.load(folder)
    if not (run.trials["status"] == "done").any():
        raise Refused(f"{folder}: no trial ended, so there is nothing to export")
    return exporter(run)
