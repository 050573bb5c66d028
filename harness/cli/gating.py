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
from harness.compare import Metric, Row, Verdict, fingerprint, margins_given, parse_margins
from harness.errors import BadInput, Refused
from harness.scenario.types import Scenario

PAIRS, PAIRS_STORED = 10, 2
PASSED, FAILED, UNDECIDED = "passed", "failed", "undecided"
"""Undecided: nothing regressed as far as can be told, and somewhere it cannot."""
_STYLES = {PASSED: "green", FAILED: "red", UNDECIDED: "yellow"}


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
    refuse_missing(wanted, found)
    told = unmeasured(wanted, scenario, found)
    return conclude(wanted, replace(found, warnings=(*found.warnings, *told)))


def gated_metrics(wanted: Wanted, *, stored: bool) -> tuple[Metric, ...]:
    """All of them, but only the counted ones against a result of another day."""
    metrics = parse_margins(wanted.margins)
    if not stored:
        return metrics
    asked = margins_given(wanted.margins)
    timed = [each.name for each in metrics if each.kind == "timed" and each.name in asked]
    if timed:
        told = f"{', '.join(timed)} can't be gated against a stored baseline"
        raise BadInput(f"--margin: {told}: time needs both sides interleaved; use --base-ref")
    return tuple(metric for metric in metrics if metric.kind == "counted")


def refuse_missing(wanted: Wanted, found: Held) -> None:
    """A margin for what no store here tells: passing it would be a pass for nothing."""
    had = {row.metric.name for row in found.comparison.rows}
    missing = [name for name in margins_given(wanted.margins) if name not in had]
    if missing:
        told = f"--margin {missing[0]}: none of these stores tells it, so nothing was gated"
        raise Refused(f"{found.folder}: {told}")


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
    had, lacking = _stores_of(wanted, scenario, baseline)
    scenario = wanted.loaded(",".join(had))
    if wanted.dry_run:
        show_plan(scenario, json=wanted.json)
        return None
    folder = run_pairs_of_one(wanted, scenario, baseline)
    compared, left_out = subjects(baseline, str(folder), only=had)
    if left_out:
        raise Refused(f"{folder}: {left_out[0]}")
    found, said = held(compared, metrics, mixed=wanted.mixed, whole=True)
    return Held(folder, found, (*said, *lacking), lacking)


def _stores_of(
    wanted: Wanted, scenario: Scenario, baseline: str
) -> tuple[list[str], tuple[str, ...]]:
    """Those that the baseline has, and a line for each that it lacks.

    Raises `Refused` for another scenario and for a store that was asked for by its name.
    """
    stored = results.load(baseline)
    offered = stored.manifest.get("scenario", {}).get("hash")
    if offered != scenario.hash:
        told = f"{baseline}: its scenario is not {wanted.scenario} as it is offered now"
        raise Refused(f"{told}: {str(offered)[:12]} against {scenario.hash[:12]}")
    known = set(stored.trials["key"])
    asked = list(dict.fromkeys(trial.store.key for trial in scenario.trials))
    had, lacking = (
        [key for key in asked if key in known],
        [key for key in asked if key not in known],
    )
    if lacking and wanted.stores:
        raise Refused(f"{baseline}: lacks {', '.join(lacking)}, so nothing could be gated there")
    if not had:
        raise BadInput(f"{baseline}: has none of the scenario's stores; see --stores")
    return had, tuple(f"{key}: the baseline lacks it" for key in lacking)


def _against_ref(wanted: Wanted, refs: Refs, metrics: Sequence[Metric]) -> Held | None:
    folder = run_refs(wanted, refs)
    if folder is None:
        return None
    found, said = held(of_pairs(folder), metrics, mixed=wanted.mixed, whole=True)
    return Held(folder, found, tuple(said))


def conclude(wanted: Wanted, found: Held) -> int:
    """Print the answer; the exit code."""
    regressed = found.comparison.having(Verdict.REGRESSED, gated=True)
    undecided = found.comparison.having(Verdict.INCONCLUSIVE, gated=True)
    nothing = [f"{name}: nothing was counted" for name in found.comparison.untold()]
    can_t_tell = [*map(_short, undecided), *nothing, *found.left_open]
    answer = FAILED if regressed else UNDECIDED if can_t_tell else PASSED
    tell(wanted, found, verdict=answer, undecided=can_t_tell)
    if not wanted.json:
        reasons = list(map(_short, regressed)) or can_t_tell
        text = ": ".join(filter(None, ("gate", answer, "; ".join(reasons))))
        wanted.console.print(Text(text, style=_STYLES[answer]), soft_wrap=True)
    return 1 if regressed else 0


def _short(row: Row) -> str:
    return f"{row.subject}, {row.point}: {row.metric.label} {words.change(row.finding.ratio)}"
