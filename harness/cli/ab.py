"""`eslab ab`: pairs of two stores or of two checkouts, and what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.shared import (
    HERE,
    RESULTS,
    BaseRef,
    CandidateRef,
    Json,
    Margins,
    Mixed,
    Out,
    PairsPlan,
    PairsServers,
    Project,
    Scenario,
    Settings,
    Stores,
    catalogue,
    require_statistics,
)
from harness.domain.errors import BadInput, Refused

if TYPE_CHECKING:
    from harness.cli.pairs import PairsOptions, Refs
    from harness.scenario import model


def ab(
    scenario: Scenario,
    base: Annotated[str, typer.Option(help="A store, e.g. postgres:row.")] = "",
    candidate: Annotated[str, typer.Option(help="Another, or the same one.")] = "",
    base_ref: BaseRef = "",
    candidate_ref: CandidateRef = "",
    project: Project = HERE,
    stores: Stores = "",
    pairs: Annotated[int, typer.Option(help="Of trials, interleaved.")] = 10,
    until_decided: Annotated[
        int | None,
        typer.Option(help="Add pairs until all is decided, up to this many."),
    ] = None,
    margin: Margins = None,
    set_: Settings = None,
    out: Out = RESULTS,
    servers: PairsServers = "auto",
    allow_mixed_durability: Mixed = False,
    dry_run: PairsPlan = False,
    json: Json = False,
) -> None:
    """Run pairs of two stores or two checkouts, interleaved, and say what they show."""
    require_statistics()
    from harness.cli.pairs import PairsOptions, refs_of

    options = PairsOptions(
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
    refs = refs_of(base_ref, candidate_ref, project)
    run_ab(options, base=base, candidate=candidate, refs=refs, until_decided=until_decided)


def run_ab(
    options: PairsOptions,
    *,
    base: str,
    candidate: str,
    refs: Refs | None,
    until_decided: int | None,
) -> None:
    """Run the pairs and print the verdicts."""
    from harness.analysis.comparison import parse_margins
    from harness.cli import pairs

    metrics = parse_margins(options.margins)
    if refs is not None and (base or candidate):
        raise BadInput("expected --base and --candidate, or --base-ref; not both")
    if refs is None and not (base and candidate):
        raise BadInput("expected --base STORE and --candidate STORE, or --base-ref REF")
    if until_decided is not None:
        stores, flag = (options.stores, "--stores") if refs else (base, "--base")
        options = with_pairs(options, options.loaded(stores, flag), until_decided)
    folder = (
        _run_stores(options, base, candidate) if refs is None else pairs.run_refs(options, refs)
    )
    if folder is not None:
        pairs.print_compared(options, pairs.compared_pairs(options, folder, metrics))


def with_pairs(options: PairsOptions, scenario: model.Scenario, most: int) -> PairsOptions:
    """With the number of pairs that the noise floor asks for, fixed before the first of them.

    Holm will go over each timed metric at each point of each store. A verdict looked at after each
    pair, until it is there, would come at last whether anything changed or not.
    """
    from harness.analysis.comparison import parse_margins
    from harness.cli.pairs import known_noise, rows_of_time

    if most < options.pairs:
        raise BadInput(f"--until-decided {most}: expected at least --pairs, {options.pairs}")
    known = known_noise(options, scenario)
    if not known:
        raise BadInput("--until-decided needs this machine's noise floor; run `eslab aa` first")
    metrics = parse_margins(options.margins)
    asked = rows_of_time(scenario, metrics)
    timed = [each for each in metrics if each.kind == "timed" and each.gated]
    needed = [each.pairs_for(metric, asked) for each in known for metric in timed]
    pairs = max(most if each is None else each for each in needed)
    return replace(options, pairs=min(most, max(options.pairs, pairs)))


def _run_stores(options: PairsOptions, base: str, candidate: str) -> Path | None:
    """Run pairs of two stores; the folder, or none for a dry run."""
    from harness.analysis.comparison import parse_margins
    from harness.cli.pairs import print_pairs, run_pairs, warn_of_too_few

    scenario = _paired(options, base, candidate)
    if options.dry_run:
        print_pairs(scenario, json=options.json)
    warn_of_too_few(options, scenario, parse_margins(options.margins))
    return None if options.dry_run else run_pairs(options, scenario)


def _paired(options: PairsOptions, base: str, candidate: str) -> model.Scenario:
    """The pairs of two stores, which must be of one durability class as far as can be known."""
    from harness.scenario.expansion import paired

    sides = options.loaded(base, "--base"), options.loaded(candidate, "--candidate")
    for flag, side in zip(("--base", "--candidate"), sides, strict=True):
        keys = {trial.store.key for trial in side.trials}
        if len(keys) != 1:
            raise BadInput(f"{flag}: expected one store; got {', '.join(sorted(keys))}")
    scenario = paired(*sides)
    if not options.mixed:
        _refuse_other_durability(scenario)
    return scenario


def _refuse_other_durability(scenario: model.Scenario) -> None:
    """By what the stores declare; what their servers say is compared with it after the run."""
    stores = catalogue().stores
    durability: dict[str, str] = {}
    for trial in scenario.trials:
        kind = stores[trial.store.technology]
        declared = kind.variants[trial.store.variant].declares(trial.store.options)
        durability[trial.side] = str(declared.durability)
    if durability["base"] != durability["candidate"]:
        classes = f"{durability['base']} against {durability['candidate']}"
        hint = "--allow-mixed-durability compares them, labelled"
        raise Refused(f"not the same durability class: {classes}; {hint}")
