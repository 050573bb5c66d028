"""Writes a run's report.html and, on request, its executed notebooks."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import results
from harness.domain.errors import LabError, MissingExtra, Refused
from harness.domain.files import require_own
from harness.results.tables import write_atomically, writing

NOTEBOOKS = (
    "start-here", "comparison", "contention", "boundaries", "latency", "cost", "guarantees",
    "decision", "bad-day", "history",
)  # fmt: skip
"""All show one run, except `history`, which reads the history file next to it.

If `OTHERS` names further runs, the first five also show what this run lacks: conflicts, rules, open
loads.
"""
PAGE = "report.html"
_FOR_PAGES = ("matplotlib", "jinja2", "scipy")
_FOR_NOTEBOOKS = ("nbclient", "nbformat", "ipykernel")


def write_report(folder: Path) -> Path:
    """Writes `<run>/report.html` and returns its path.

    Raises `BadInput` for a folder that is not a run, `Refused` for a run in which no trial ended,
    and `MissingExtra` without the notebooks extra.
    """
    run = _reportable(folder)
    _require(_FOR_PAGES)
    from harness.render.report.page import page  # noqa: PLC0415 — its libraries are an extra

    write_atomically(folder / PAGE, page(run).encode())
    return folder / PAGE


def write_with_notebooks(folder: Path) -> tuple[Path, Path]:
    """Writes the page and the executed notebooks in `<run>/notebooks/`; returns both paths.

    It makes both before it writes either, so that they agree. Raises the errors of `write_report`,
    `LabError` for a notebook that fails, and `BadInput` for a bad history or other run.
    """
    run = _reportable(folder)
    _require((*_FOR_PAGES, *_FOR_NOTEBOOKS))
    from harness.render.report.executing import executed, require_inputs  # noqa: PLC0415 — an extra
    from harness.render.report.page import page  # noqa: PLC0415 — likewise

    require_inputs(folder.resolve())
    text = page(run)
    notebooks = executed([notebook_path(name) for name in NOTEBOOKS], folder.resolve())
    write_atomically(folder / PAGE, text.encode())
    _keep(notebooks, folder / "notebooks")
    return folder / PAGE, folder / "notebooks"


def notebook_path(name: str) -> Path:
    """The notebook in the checkout, or in the installed package. Raises `LabError`."""
    package = Path(__file__).parents[2]
    places = [package.parent / "notebooks", package / "notebooks"]
    paths = [place / f"{name}.ipynb" for place in places if (place / f"{name}.ipynb").is_file()]
    if not paths:
        raise LabError(f"{name}.ipynb is missing; looked in {' and '.join(map(str, places))}")
    return paths[0]


def _reportable(folder: Path) -> results.Run:
    run = results.load(folder)
    if not (run.trials["status"] == "done").any():
        raise Refused(f"{folder}: no trial ended, so there is nothing to report; see `eslab show`")
    return run


def _require(packages: Sequence[str]) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        message = f"{missing[0]} is not installed; pip install 'eventstore-lab[notebooks]'"
        raise MissingExtra(message)


def _keep(notebooks: Mapping[str, Any], folder: Path) -> None:
    with writing(folder):
        require_own(folder)
        folder.mkdir(exist_ok=True)
    for name, notebook in notebooks.items():
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        write_atomically(folder / f"{name}.ipynb", text.encode())
