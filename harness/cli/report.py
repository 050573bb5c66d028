"""`eslab report` and `eslab export`: a finished run as its page, and in other formats."""

from __future__ import annotations

import json as json_
import os
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.output import write_text
from harness.cli.shared import Json, Run, require_tables
from harness.domain.errors import BadInput


def report(
    folder: Run,
    notebooks: Annotated[
        bool, typer.Option("--notebooks", help="Execute the notebooks into the run, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Write a run's page, report.html: the answer, what would change it, and the evidence."""
    require_tables()
    from rich.console import Console

    from harness.render.report import write_report, write_with_notebooks

    doing = "making the page and executing the notebooks" if notebooks else "making the page"
    with Console(stderr=True).status(doing):
        paths = write_with_notebooks(folder) if notebooks else [write_report(folder)]
    made = dict(zip(("report", "notebooks"), map(str, paths), strict=False))
    print(json_.dumps(made) if json else "\n".join(made.values()))


def export(
    folder: Run,
    format_: Annotated[
        str,
        typer.Option("--format", help="csv, json, bmf, gha, gha-smaller, hlog or markdown."),
    ] = "json",
    out: Annotated[Path | None, typer.Option(help="A new file instead of the terminal.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Write a run in a format that other tools read."""
    require_tables()
    write_export(folder, "json" if json else format_, out=out)


def write_export(folder: Path, name: str, *, out: Path | None) -> None:
    """Folders on the way are made. Raises `BadInput` rather than overwriting what is there."""
    from harness.render import exports
    from harness.results.tables import write_atomically

    if out is not None and os.path.lexists(out):
        raise BadInput(f"--out {out}: is there already")
    text = exports.export(folder, name)
    if out is None:
        write_text(text)
    else:
        _make_folder(out.parent)
        write_atomically(out, text.encode())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out: {folder}: {error.strerror}; expected a folder") from error
