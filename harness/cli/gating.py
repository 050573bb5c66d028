"""`eslab gate`: yes, no, or can't tell, for a CI job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.text import Text

from harness import environment, results, words
from harness.cli.comparing import held
from harness.cli.noise_floor import Known, recall
from harness.cli.pairs import Held, Wanted, run_pairs_of_one, show_plan, tell
from harness.cli.refs import Refs, run_refs
from harness.cli.sides import of_pairs, subjects
from harness.compare import Metric, Row, Verdict, fingerprint, parse_margins
from harness.errors import BadInput, Refused
from harness.scenario.types import Scenario

PAIRS, PAIRS_STORED = 10, 2


def pairs_of(given: int | None, *, stored: bool) -> int:
    """Counts need two pairs, times need ten."""
    return given if given is not None else PAIRS_STORED if stored else PAIRS


def gate(wanted: Wanted, *, baseline: str, refs: Refs | None, force: bool) -> int:
    """1 if a gated metric regressed. Raises `Refused` where the answer would mislead."""
    if bool(baseline) == (refs is not None):
        raise BadInput("expected --baseline RUN or --base-ref REF, one of the two")
    metrics = gated_metrics(wanted, stored=bool(baseline))
    scenario = wanted.loaded(wanted.stores)
    if not force:
        refuse_below_floor(wanted, scenario, metrics)
    found = (
        _against_stored(wanted, scenario, baseline, metrics)
        if refs is None
        else _against_ref(wanted, refs, metrics)
    )
    if found is None:
        return 0
    told = unmeasured(wanted, scenario, found)
    return _conclude(wanted, replace(found, warnings=(*found.warnings, *told)))


def gated_metrics(wanted: Wanted, *, stored: bool) -> tuple[Metric, ...]:
    """All of them, but only the counted ones against a result of another day."""
    metrics = parse_margins(wanted.margins)
    if not stored:
        return metrics
    asked = {text.partition("=")[0] for text in " ".join(wanted.margins).split()}
    timed = [each.name for each in metrics if each.kind == "timed" and each.name in asked]
    if timed:
        told = f"{', '.join(timed)} can't be gated against a stored baseline"
        raise BadInput(f"--margin: {told}: time needs both sides interleaved; use --base-ref")
    return tuple(metric for metric in metrics if metric.kind == "counted")


def refuse_below_floor(wanted: Wanted, scenario: Scenario, metrics: Sequence[Metric]) -> None:
    """Margins that identical code would not keep here, as far as `eslab aa` has measured."""
    for known in recalled(wanted, scenario):
        for metric in metrics:
            floor = known.floor(metric, wanted.pairs)
            if metric.gated and metric.margin < floor:
                raise Refused(_below(known, metric, floor, wanted.pairs))


def recalled(wanted: Wanted, scenario: Scenario) -> list[Known]:
    """What is known of this scenario's stores on this machine."""
    machine = fingerprint(environment.describe(wanted.out if wanted.out.is_dir() else Path()))
    keys = list(dict.fromkeys(trial.store.key for trial in scenario.trials))
    return recall(wanted.out, scenario.hash, machine, keys)


def unmeasured(wanted: Wanted, scenario: Scenario, found: Held) -> tuple[str, ...]:
    """What to say of stores whose noise nobody has measured here: any margin was accepted."""
    known = {each.key for each in recalled(wanted, scenario)}
    keys = dict.fromkeys(row.subject for row in found.comparison.rows)
    missing = ",".join(key for key in keys if key not in known)
    how = f"eslab aa {wanted.scenario} --stores '{missing}'"
    return (f"this machine's noise floor is not known: `{how}` measures it",) if missing else ()


def _below(known: Known, metric: Metric, floor: float, pairs: int) -> str:
    told = f"{metric.name}={metric.margin * 100:g}% is below what identical code does here"
    how = f"{floor:.1%} with {pairs} pairs of {known.key}, measured {known.measured_at[:10]}"
    return f"{told} ({how}); widen --margin, add --pairs, or --force"


def _against_stored(
    wanted: Wanted, scenario: Scenario, baseline: str, metrics: Sequence[Metric]
) -> Held | None:
    stored = results.load(baseline)
    offered = stored.manifest.get("scenario", {}).get("hash")
    if offered != scenario.hash:
        told = f"{baseline}: its scenario is not {wanted.scenario} as it is offered now"
        raise Refused(f"{told}: {str(offered)[:12]} against {scenario.hash[:12]}")
    had = [key for key in dict.fromkeys(t.store.key for t in scenario.trials)
           if key in set(stored.trials["key"])]  # fmt: skip
    if not had:
        raise BadInput(f"{baseline}: has none of the scenario's stores; see --stores")
    scenario = wanted.loaded(",".join(had))
    if wanted.dry_run:
        show_plan(scenario, json=wanted.json)
        return None
    folder = run_pairs_of_one(wanted, scenario)
    compared, left_out = subjects(baseline, str(folder))
    found, said = held(compared, metrics, mixed=wanted.mixed)
    said = [line for line in said if "timed" not in line]
    return Held(folder, found, (*said, *left_out))


def _against_ref(wanted: Wanted, refs: Refs, metrics: Sequence[Metric]) -> Held | None:
    folder = run_refs(wanted, refs)
    if folder is None:
        return None
    found, said = held(of_pairs(folder), metrics, mixed=wanted.mixed)
    return Held(folder, found, tuple(said))


def _conclude(wanted: Wanted, found: Held) -> int:
    regressed = found.comparison.having(Verdict.REGRESSED, gated=True)
    undecided = found.comparison.having(Verdict.INCONCLUSIVE, gated=True)
    tell(wanted, found, passed=not regressed, undecided=[_short(row) for row in undecided])
    if not wanted.json:
        style = "red" if regressed else "green"
        wanted.console.print(Text(_verdict(regressed, undecided), style=style), soft_wrap=True)
    return 1 if regressed else 0


def _verdict(regressed: Sequence[Row], undecided: Sequence[Row]) -> str:
    if regressed:
        return f"gate: failed: {'; '.join(map(_short, regressed))}"
    if undecided:
        return f"gate: nothing regressed; can't tell: {'; '.join(map(_short, undecided))}"
    return "gate: passed"


def _short(row: Row) -> str:
    return f"{row.subject}, {row.point}: {row.metric.label} {words.change(row.finding.ratio)}"
