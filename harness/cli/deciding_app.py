"""The commands that decide: `compare`, `ab`, `gate`, `aa` and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.extras import require_statistics

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
Scenario = Annotated[Path, typer.Argument(help="A scenario file.", metavar="SCENARIO")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Override a value, as in `eslab run`.")
]
Out = Annotated[Path, typer.Option(help="Where run folders go.")]
Servers = Annotated[str, typer.Option(help="Where servers come from, as in `eslab run`.")]
Stores = Annotated[str, typer.Option(help="Only these stores of the scenario.")]
BaseRef = Annotated[str, typer.Option(help="A commit of the project to compare with.")]
CandidateRef = Annotated[str, typer.Option(help="Another; the project as it stands if left out.")]
Project = Annotated[Path, typer.Option(help="A checkout of the lab, or of an adapter's package.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the pairs, run none.")]
_OUT, _HERE = Path("results"), Path()


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
    require_statistics()
    from harness.cli import comparing

    comparing.compare(
        base, candidate, margins=margin or (), mixed=allow_mixed_durability, json=json
    )


@app.command()
def ab(
    scenario: Scenario,
    base: Annotated[str, typer.Option(help="A store, e.g. postgres:row.")] = "",
    candidate: Annotated[str, typer.Option(help="Another, or the same one.")] = "",
    base_ref: BaseRef = "",
    candidate_ref: CandidateRef = "",
    project: Project = _HERE,
    stores: Stores = "",
    pairs: Annotated[int, typer.Option(help="Of trials, interleaved.")] = 10,
    until_decided: Annotated[
        int | None, typer.Option(help="Up to so many pairs, as the noise floor asks for.")
    ] = None,
    margin: Margins = None,
    set_: Settings = None,
    out: Out = _OUT,
    servers: Servers = "auto",
    allow_mixed_durability: Mixed = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Run pairs of two stores or two checkouts, interleaved, and say what they show."""
    require_statistics()
    from harness.cli import deciding
    from harness.cli.pairs import Wanted

    wanted = Wanted(
        scenario=scenario,
        pairs=pairs,
        settings=tuple(set_ or ()),
        margins=tuple(margin or ()),
        stores=stores,
        out=out,
        way=servers,
        mixed=allow_mixed_durability,
        dry_run=dry_run,
        json=json,
    )
    refs = deciding.refs_of(base_ref, candidate_ref, project)
    deciding.ab(wanted, base=base, candidate=candidate, refs=refs, until_decided=until_decided)


@app.command()
def gate(
    scenario: Scenario,
    baseline: Annotated[str, typer.Option(help="A stored run: counted metrics only.")] = "",
    base_ref: BaseRef = "",
    candidate_ref: CandidateRef = "",
    project: Project = _HERE,
    stores: Stores = "",
    pairs: Annotated[
        int | None, typer.Option(help="10 with --base-ref, 2 with --baseline.")
    ] = None,
    margin: Margins = None,
    force: Annotated[bool, typer.Option("--force", help="Margins below the noise floor.")] = False,
    set_: Settings = None,
    out: Out = _OUT,
    servers: Servers = "auto",
    allow_mixed_durability: Mixed = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Exit 1 if the candidate regressed against a stored run or another commit."""
    require_statistics()
    from harness.cli import deciding, gating
    from harness.cli.pairs import Wanted

    wanted = Wanted(
        scenario=scenario,
        pairs=gating.pairs_of(pairs, stored=bool(baseline)),
        settings=tuple(set_ or ()),
        margins=tuple(margin or ()),
        stores=stores,
        out=out,
        way=servers,
        mixed=allow_mixed_durability,
        dry_run=dry_run,
        json=json,
    )
    refs = deciding.refs_of(base_ref, candidate_ref, project)
    raise typer.Exit(gating.gate(wanted, baseline=baseline, refs=refs, force=force))


@app.command()
def aa(
    scenario: Scenario,
    stores: Stores = "",
    pairs: Annotated[int, typer.Option(help="Of trials, interleaved.")] = 20,
    margin: Margins = None,
    set_: Settings = None,
    out: Out = _OUT,
    servers: Servers = "auto",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Run the same thing twice: what can be told apart on this machine, and what can't."""
    require_statistics()
    from harness.cli import aa as aa_
    from harness.cli.pairs import Wanted

    wanted = Wanted(
        scenario=scenario,
        pairs=pairs,
        settings=tuple(set_ or ()),
        margins=tuple(margin or ()),
        stores=stores,
        out=out,
        way=servers,
        dry_run=dry_run,
        json=json,
    )
    aa_.aa(wanted)
