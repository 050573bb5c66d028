"""The commands of `eslab` and their options; the work is done in the modules beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import deciding_app, history_app

app = typer.Typer(
    name="eslab",
    help="Measure which event store keeps which promises, at what speed and what cost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(deciding_app.app)
app.add_typer(history_app.app, name="history")

Json = Annotated[bool, typer.Option("--json", help="JSON alone on standard output.")]
Run = Annotated[Path, typer.Argument(help="A run folder, results/<run>.")]
Files = Annotated[list[Path], typer.Argument(help="Scenario files.", metavar="FILE…")]


@app.command()
def run(
    files: Files,
    stores: Annotated[
        str, typer.Option(help="Only these stores, e.g. postgres,postgres:row{notify=true},sqlite.")
    ] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a value: load.closed.workers=8 (repeatable)."),
    ] = None,
    repeat: Annotated[int | None, typer.Option(help="Repetitions of every trial.")] = None,
    out: Annotated[Path, typer.Option(help="Where run folders go.")] = Path("results"),
    servers: Annotated[
        str, typer.Option(help="Where servers come from: auto, external, docker, native, mixed.")
    ] = "auto",
    samples: Annotated[
        bool, typer.Option("--samples/--no-samples", help="Keep or drop the raw columns.")
    ] = True,
    pin: Annotated[
        bool, typer.Option("--pin", help="Generator and servers on separate cores.")
    ] = False,
    capacities: Annotated[
        str, typer.Option(help="A run: offer fractions of its capacities, not of new ones.")
    ] = "",
    report: Annotated[bool, typer.Option("--report", help="Write report.html too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the trials, run none.")] = False,
    json: Json = False,
) -> None:
    """Run scenarios: each trial on a real server, verified, written to a run folder."""
    from harness.cli import running

    wanted = running.Wanted(
        files=tuple(files),
        stores=stores,
        settings=tuple(set_ or ()),
        repeat=repeat,
        out=out,
        way=servers,
        keep_samples=samples,
        pin=pin,
        report=report,
        json=json,
        capacities=capacities,
    )
    raise typer.Exit(running.dry_run(wanted) if dry_run else running.run(wanted))


@app.command()
def conformance(
    stores: Annotated[
        str, typer.Option(help="Stores to check; memory, sqlite and three of PostgreSQL if empty.")
    ] = "",
    checks: Annotated[str, typer.Option(help="Only these checks, e.g. 9,16.")] = "",
    seconds: Annotated[
        float | None, typer.Option(min=0.1, max=3600, help="For each check that repeats a race.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of ids and choices.")] = 1,
    profile: Annotated[str, typer.Option(help="fast or full.")] = "fast",
    explain: Annotated[
        str, typer.Option(help="Say what these checks promise and provoke; run none.")
    ] = "",
    out: Annotated[Path, typer.Option(help="Where run folders go.")] = Path("results"),
    servers: Annotated[
        str, typer.Option(help="Where servers come from: auto, external, docker, native, mixed.")
    ] = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the checks, run none.")] = False,
    json: Json = False,
) -> None:
    """Check what stores promise: each guarantee declared against measured, with evidence."""
    from harness.cli import conforming

    if explain:
        raise typer.Exit(conforming.explain(explain, json=json))
    wanted = conforming.Wanted(
        stores=stores,
        checks=checks,
        seconds=seconds,
        seed=seed,
        profile=profile,
        out=out,
        way=servers,
        json=json,
    )
    raise typer.Exit(conforming.dry_run(wanted) if dry_run else conforming.run(wanted))


@app.command()
def show(folder: Run, json: Json = False) -> None:
    """Show a run: the ranking inside each durability class, and every trial's verdicts."""
    from harness.cli import showing

    showing.show(folder, json=json)


@app.command()
def report(
    folder: Run,
    notebooks: Annotated[
        bool, typer.Option("--notebooks", help="Execute the notebooks into the run, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Write a run's page, report.html: the answer, what would change it, and the evidence."""
    from harness.cli import showing

    showing.report(folder, notebooks=notebooks, json=json)


@app.command()
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
    from harness.cli import exporting, showing

    showing.require_notebooks()
    exporting.to(folder, "json" if json else format_, out=out)


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(help="stores, workloads, scenarios or checks; all if empty.")
    ] = "",
    json: Json = False,
) -> None:
    """List the stores with their variants and options, workloads, scenarios, checks."""
    from harness.cli import listing

    listing.list_(what, json=json)


@app.command()
def validate(files: Files, json: Json = False) -> None:
    """Check scenario files without running them."""
    from harness.cli import listing

    listing.validate(tuple(files), json=json)


@app.command()
def schema() -> None:
    """Print the JSON Schema of scenario files."""
    from harness.cli import listing

    listing.schema()


@app.command()
def calibrate(
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="For each queue.")] = 5.0,
    json: Json = False,
) -> None:
    """Hold the generator against queues whose answer is known, operation by operation."""
    from harness.cli import calibrating

    raise typer.Exit(calibrating.run(seconds=seconds, json=json))


@app.command()
def up(json: Json = False) -> None:
    """Bring the servers up as containers; the only command that pulls images."""
    from harness.cli import containers

    containers.up(json=json)


@app.command()
def down(json: Json = False) -> None:
    """Remove those containers with their data, and what runs that ended early left behind."""
    from harness.cli import containers

    containers.down(json=json)


@app.command()
def doctor(json: Json = False) -> None:
    """Show each store, each way to get its server, and what would make it ready."""
    from harness.cli import doctoring

    doctoring.doctor(json=json)
