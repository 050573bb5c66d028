"""Execute the notebooks on a run and write its report.html."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import results
from harness.errors import LabError, MissingExtra, Refused
from harness.results.disk import write_atomically, writing

NOTEBOOKS = ("comparison", "contention")
PAGE = "report.html"
_NEEDED = ("nbclient", "nbconvert", "ipykernel", "matplotlib")


def write_report(folder: Path) -> Path:
    """Write `<run>/report.html` and the executed copies in `<run>/notebooks/`; the page's path.

    Raises `BadInput` for what is not a run, `Refused` for one in which no trial ended,
    `MissingExtra` without the notebooks extra, and `LabError` for a notebook that fails.
    """
    run = results.load(folder)
    if not (run.trials["status"] == "done").any():
        raise Refused(f"{folder}: no trial ended, so there is nothing to report; see `eslab show`")
    _require_jupyter()
    from harness.report.executing import executed  # noqa: PLC0415 — jupyter is an extra
    from harness.report.page import page  # noqa: PLC0415

    notebooks = executed([notebook_path(name) for name in NOTEBOOKS], folder.resolve())
    _keep(notebooks, folder / "notebooks")
    write_atomically(folder / PAGE, page(run.manifest, notebooks).encode())
    return folder / PAGE


def notebook_path(name: str) -> Path:
    """The notebook in the checkout, or in the installed package. Raises `LabError`."""
    package = Path(__file__).parents[1]
    places = [package.parent / "notebooks", package / "notebooks"]
    found = [place / f"{name}.ipynb" for place in places if (place / f"{name}.ipynb").is_file()]
    if not found:
        raise LabError(f"{name}.ipynb is missing; looked in {' and '.join(map(str, places))}")
    return found[0]


def _require_jupyter() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        message = f"{missing[0]} is not installed; pip install 'eventstore-lab[notebooks]'"
        raise MissingExtra(message)


def _keep(notebooks: Mapping[str, Any], folder: Path) -> None:
    with writing(folder):
        folder.mkdir(exist_ok=True)
    for name, notebook in notebooks.items():
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        write_atomically(folder / f"{name}.ipynb", text.encode())
