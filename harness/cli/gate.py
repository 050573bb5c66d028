"""`eslab gate`: yes, no, or can't tell, for a CI job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
    require_statistics,
)
from harness.domain.errors import BadInput, Refused

if TYPE_CHECKING:
    from harness.analysis.comparison import Metric
    from harness.cli.pairs import ComparedSides, PairsOptions, Refs
    from harness.scenario import model

PAIRS, PAIRS_STORED = 10, 2
"""Times need ten pairs, counts need two."""


def gate(
    scenario: Scenario,
    baseline: Annotated[str, typer.Option(help="A stored run: counted metrics only.")] = "",
    base_ref: BaseRef = "",
    candidate_ref: CandidateRef = "",
    project: Project = HERE,
    stores: Stores = "",
    pairs: Annotated[
        int | None, typer.Option(help="10 with --base-ref, 2 with --baseline.")
    ] = None,
    margin: Margins = None,
    force: Annotated[bool, typer.Option("--force", help="Margins below the noise floor.")] = False,
    set_: Settings = None,
    out: Out = RESULTS,
    servers: PairsServers = "auto",
    allow_mixed_durability: Mixed = False,
    dry_run: PairsPlan = False,
    json: Json = False,
) -> None:
    """Exit 1 if the candidate regressed against a stored run or another commit."""
    require_statistics()
    from harness.cli.pairs import PairsOptions, refs_of

    default = PAIRS_STORED if baseline else PAIRS
    options = PairsOptions(
        scenario=scenario,
        pairs=default if pairs is None else pairs,
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
    raise typer.Exit(run_gate(options, baseline=baseline, refs=refs, force=force))


def run_gate(options: PairsOptions, *, baseline: str, refs: Refs | None, force: bool) -> int:
    """1 if a gated metric regressed. Raises `Refused` where the answer would mislead."""
    from harness.analysis.comparison import gated_metrics, refuse_below_floor, refuse_unmeasured
    from harness.cli.pairs import known_noise

    if bool(baseline) == (refs is not None):
        raise BadInput("expected --baseline RUN or --base-ref REF, one of the two")
    metrics = gated_metrics(options.margins, stored=bool(baseline))
    scenario = options.loaded(options.stores)
    if not force:
        refuse_below_floor(known_noise(options, scenario), metrics, options.pairs)
    sides = (
        _against_stored(options, scenario, baseline, metrics)
        if refs is None
        else _against_ref(options, refs, metrics)
    )
    if sides is None:
        return 0
    refuse_unmeasured(sides.comparison, options.margins, source=str(sides.folder))
    warnings = (*sides.warnings, *_without_noise_floor(options, scenario, sides))
    return conclude(options, replace(sides, warnings=warnings))


def conclude(options: PairsOptions, sides: ComparedSides) -> int:
    """Print the answer; the exit code."""
    from rich.text import Text

    from harness.analysis.comparison import FAILED, PASSED, UNDECIDED, answer_of
    from harness.cli.pairs import print_compared
    from harness.render.table import Tone

    tones = {PASSED: Tone.GOOD, FAILED: Tone.BAD, UNDECIDED: Tone.DOUBTFUL}
    answer = answer_of(sides.comparison, sides.left_open)
    print_compared(options, sides, verdict=answer.verdict, undecided=answer.undecided)
    parts = ("gate", answer.verdict, "; ".join(answer.reasons))
    text = Text(": ".join(filter(None, parts)), style=tones[answer.verdict])
    options.console.print(text, soft_wrap=True)
    return 1 if answer.verdict == FAILED else 0


def _against_stored(
    options: PairsOptions, scenario: model.Scenario, baseline: str, metrics: Sequence[Metric]
) -> ComparedSides | None:
    from harness.cli.compare import compared, subjects_of
    from harness.cli.pairs import ComparedSides, print_pairs, run_one_side
    from harness.run.capacities import capacities_of

    keys, lacking = _stores_of(options, scenario, baseline)
    scenario = options.loaded(",".join(keys))
    if options.dry_run:
        print_pairs(scenario, json=options.json)
        return None
    folder = run_one_side(options, scenario, capacities_of(baseline))
    subjects, left_out = subjects_of(baseline, str(folder), only=keys)
    if left_out:
        raise Refused(f"{folder}: {left_out[0]}")
    comparison, warnings = compared(subjects, metrics, mixed=options.mixed, whole=True)
    return ComparedSides(folder, comparison, (*warnings, *lacking), lacking)


def _stores_of(
    options: PairsOptions, scenario: model.Scenario, baseline: str
) -> tuple[list[str], tuple[str, ...]]:
    """Those that the baseline has, and a line for each that it lacks.

    Raises `Refused` for another scenario and for a store that was asked for by its name.
    """
    from harness import results

    stored = results.load(baseline)
    offered = stored.manifest.get("scenario", {}).get("hash")
    if offered != scenario.hash:
        problem = f"{baseline}: its scenario is not {options.scenario} as it is offered now"
        raise Refused(f"{problem}: {str(offered)[:12]} against {scenario.hash[:12]}")
    measured = set(stored.trials["key"])
    asked = list(dict.fromkeys(trial.store.key for trial in scenario.trials))
    kept = [key for key in asked if key in measured]
    lacking = [key for key in asked if key not in measured]
    if lacking and options.stores:
        raise Refused(f"{baseline}: lacks {', '.join(lacking)}, so nothing could be gated there")
    if not kept:
        raise BadInput(f"{baseline}: has none of the scenario's stores; see --stores")
    return kept, tuple(f"{key}: the baseline lacks it" for key in lacking)


def _against_ref(
    options: PairsOptions, refs: Refs, metrics: Sequence[Metric]
) -> ComparedSides | None:
    from harness.cli.pairs import compared_pairs, run_refs

    folder = run_refs(options, refs)
    return None if folder is None else compared_pairs(options, folder, metrics, whole=True)


def _without_noise_floor(
    options: PairsOptions, scenario: model.Scenario, sides: ComparedSides
) -> tuple[str, ...]:
    """A warning of stores whose noise nobody has measured here: any margin was accepted."""
    from harness.cli.pairs import known_noise

    known = {each.key for each in known_noise(options, scenario)}
    keys = dict.fromkeys(row.subject for row in sides.comparison.rows)
    missing = ",".join(key for key in keys if key not in known)
    command = f"eslab aa {options.scenario} --stores '{missing}'"
    warning = f"this machine's noise floor is not known: `{command}` measures it"
    return (warning,) if missing else ()
