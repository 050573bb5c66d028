"""One function a format, found by name; each takes a run and gives the text of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from harness import results
from harness.errors import BadInput, Refused
from harness.exports import histograms, markdown, tables, trackers

Exporter = Callable[[results.Run], str]

FORMATS: Mapping[str, Exporter] = MappingProxyType(
    {
        "csv": tables.csv,
        "json": tables.json,
        "bmf": trackers.bmf,
        "gha": trackers.bigger_is_better,
        "gha-smaller": trackers.smaller_is_better,
        "hlog": histograms.hlog,
        "markdown": markdown.markdown,
    }
)
"""What `eslab export --format` takes. `gha` are rates, `gha-smaller` times and costs: the action
that reads them takes one direction a file."""


def export(folder: Path, name: str) -> str:
    """The run in this format. Raises `BadInput`, and `Refused` where there is nothing to tell."""
    exporter = FORMATS.get(name)
    if exporter is None:
        raise BadInput(f"--format {name}: expected one of {', '.join(FORMATS)}")
    run = results.load(folder)
    if not (run.trials["status"] == "done").any():
        raise Refused(f"{folder}: no trial ended, so there is nothing to export")
    return exporter(run)
