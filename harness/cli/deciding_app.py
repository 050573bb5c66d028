"""The commands that decide: `compare`, `ab`, `gate`, `aa` and their options."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="JSON alone on standard output.")]
Margins = Annotated[
    list[str] | None,
    typer.Option("--margin", help="What is no change: 'throughput=5% p50=10% wal=1%'."),
]
Mixed = Annotated[
    bool,
    typer.Option("--allow-mixed-durability", help="Compare across durability classes, labelled."),
]


@app.command()
def compare(
    base: Annotated[str, typer.Argument(help="RUN or RUN:store.", metavar="BASE")],
    candidate: Annotated[
        str, typer.Argument(help="The same; none for a run of pairs.", metavar="CANDIDATE")
    ] = "",
    margin: Margins = None,
    allow_mixed_durability: Mixed = False,
    json: Json = False,
) -> None:
    """Hold two runs, two stores of one run, or the pairs inside a run against each other."""
    from harness.cli import comparing

    comparing.compare(
        base, candidate, margins=margin or (), mixed=allow_mixed_durability, json=json
    )
