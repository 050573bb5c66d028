"""The commands of `eslab history` and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.extras import require_statistics

app = typer.Typer(
    help="An append-only CSV of runs: add one, show it, find where it changed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="JSON alone on standard output.")]
File = Annotated[Path, typer.Option(help="The history.")]
_FILE = Path("results/history.csv")


@app.command()
def add(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    file: File = _FILE,
    json: Json = False,
) -> None:
    """Add a run's medians, a row a store and point."""
    require_statistics()
    from harness.cli import trends

    trends.add(run, file, json=json)


@app.command()
def show(
    file: File = _FILE,
    key: Annotated[str, typer.Option(help="Only this store.")] = "",
    json: Json = False,
) -> None:
    """Show the series, oldest first."""
    require_statistics()
    from harness.cli import trends

    trends.show(file, key, json=json)


@app.command()
def changes(
    file: File = _FILE,
    least: Annotated[float, typer.Option(help="Smallest change to report, in percent.")] = 5.0,
    json: Json = False,
) -> None:
    """Find where a series changed for good. An alert; it fails nothing."""
    require_statistics()
    from harness.cli import trends

    trends.changes(file, least, json=json)
