"""`eslab ab`: which kind of pairs, how many, and what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.cli import pairs
from harness.cli.enough import rows_of_time
from harness.cli.gating import recalled
from harness.cli.pairs import Wanted, decided, tell
from harness.cli.refs import Refs, run_refs
from harness.compare import parse_margins
from harness.errors import BadInput
from harness.scenario.types import Scenario


def ab(
    wanted: Wanted, *, base: str, candidate: str, refs: Refs | None, until_decided: int | None
) -> None:
    """Pairs of two stores in one run, or of two checkouts; print the verdicts."""
    parse_margins(wanted.margins)
    if refs is not None and (base or candidate):
        raise BadInput("expected --base and --candidate, or --base-ref; not both")
    if refs is None and not (base and candidate):
        raise BadInput("expected --base STORE and --candidate STORE, or --base-ref REF")
    if until_decided is not None:
        stores = wanted.stores if refs else base
        wanted = with_pairs(wanted, wanted.loaded(stores, "--base"), until_decided)
    if refs is None:
        pairs.ab(wanted, base=base, candidate=candidate)
        return
    folder = run_refs(wanted, refs)
    if folder is not None:
        tell(wanted, decided(wanted, folder))


def refs_of(base_ref: str, candidate_ref: str, project: Path) -> Refs | None:
    """The two commits, if any was asked for. Raises `BadInput`."""
    if base_ref:
        return Refs(base_ref, candidate_ref, project)
    if candidate_ref:
        raise BadInput(f"--candidate-ref {candidate_ref}: expected a --base-ref beside it")
    return None


def with_pairs(wanted: Wanted, scenario: Scenario, most: int) -> Wanted:
    """With the number of pairs that the noise floor asks for, fixed before the first of them.

    Holm will go over each timed metric at each point of each store.
    Looking at the verdict after each pair and stopping when it is there would find one always.
    """
    if most < wanted.pairs:
        raise BadInput(f"--until-decided {most}: expected at least --pairs, {wanted.pairs}")
    known = recalled(wanted, scenario)
    if not known:
        raise BadInput("--until-decided needs this machine's noise floor; run `eslab aa` first")
    metrics = parse_margins(wanted.margins)
    asked = rows_of_time(scenario, metrics)
    timed = [each for each in metrics if each.kind == "timed" and each.gated]
    needed = [each.pairs_for(metric, asked) for each in known for metric in timed]
    pairs = max(most if each is None else each for each in needed)
    return replace(wanted, pairs=min(most, max(wanted.pairs, pairs)))
