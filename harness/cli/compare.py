"""`eslab compare`: two runs, two stores of one run, or the pairs inside a run."""

from __future__ import annotations

import json as json_
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.shared import Json, Margins, Mixed, require_statistics
from harness.domain.errors import BadInput, Refused

if TYPE_CHECKING:
    import pandas as pd

    from harness import results
    from harness.analysis.comparison import Comparison, Metric, Side


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
    from rich.console import Console

    from harness.analysis.comparison import parse_margins
    from harness.render.comparison_table import as_plain, print_comparison

    metrics = parse_margins(margin or ())
    subjects, left_out = subjects_of(base, candidate)
    comparison, warnings = compared(subjects, metrics, mixed=allow_mixed_durability)
    warnings += left_out
    if json:
        plain = as_plain(comparison, warnings)
        print(json_.dumps({"base": base, "candidate": candidate, **plain}, indent=2))
    else:
        print_comparison(comparison, warnings, Console(highlight=False))


@dataclass(frozen=True, slots=True)
class Subject:
    """What one comparison is about, and its two sides."""

    name: str
    base: Side
    candidate: Side

    @property
    def interleaved(self) -> bool:
        """Whether the sides took turns: only trials of one run do."""
        return self.base.run == self.candidate.run

    @property
    def label(self) -> str:
        """Its name; whoever reads one row must see that its sides do not promise the same."""
        from harness.analysis.comparison import mixed_durability

        mixed = mixed_durability(self.base, self.candidate)
        return f"{self.name} (MIXED DURABILITY)" if mixed else self.name


def compared(
    subjects: Sequence[Subject], metrics: Sequence[Metric], *, mixed: bool, whole: bool = False
) -> tuple[Comparison, list[str]]:
    """The verdicts and the warnings. Raises `Refused` where comparing would mislead.

    `whole` refuses a side that lacks a point of the other, too, instead of warning of it.
    """
    from harness.analysis import comparison as comparing

    warnings: list[str] = []
    timed = any(metric.kind == "timed" for metric in metrics)
    for subject in subjects:
        base, candidate = subject.base, subject.candidate
        comparing.refuse(base, candidate, allow_mixed_durability=mixed)
        unpaired = comparing.unpaired(base.trials, candidate.trials)
        lost = [f"{subject.name}: {line}" for line in unpaired]
        if lost and whole:
            raise Refused(lost[0])
        warnings += comparing.warnings(
            base, candidate, interleaved=subject.interleaved, timed=timed
        )
        warnings += lost
    comparison = comparing.compare(
        [(each.label, each.base.trials, each.candidate.trials) for each in subjects], metrics
    )
    if not comparison.rows:
        raise Refused("nothing to compare: no pair has a metric on both sides")
    return comparison, list(dict.fromkeys(warnings))


def subjects_of(
    base: str, candidate: str, *, only: Collection[str] = ()
) -> tuple[list[Subject], list[str]]:
    """The comparisons that two texts ask for, and what is left out. Raises `BadInput`.

    Stores that are named are compared with each other; without names, each store that both runs
    have with itself, or `only` these of them. One run that `ab`, `gate` or `aa` made has its
    sides inside.
    """
    if not candidate:
        return subjects_of_pairs(base), []
    one, other = _named(base), _named(candidate)
    if one.store or other.store:
        keys = one.stores() if one.store else [other.store]
        others = other.stores() if other.store else [one.store]
        _require_the_named_store(one, other)
        if _same_run(one, other) and keys[0] == others[0]:
            raise BadInput(f"{base} and {candidate} are the same trials; expected two stores")
        return [_subject(one, keys[0], other, others[0])], []
    if _same_run(one, other):
        raise BadInput(f"{base} and {candidate} are the same run; name two stores, RUN:store")
    common = [key for key in one.stores() if key in other.stores()]
    if not common:
        raise BadInput(f"{base} and {candidate} have no store in common; name them, RUN:store")
    asked = set(only) or {*one.stores(), *other.stores()}
    left_out = [f"{key}: only one of the runs has it" for key in sorted(asked - set(common))]
    return [_subject(one, key, other, key) for key in common if key in asked], left_out


def subjects_of_pairs(text: str | Path) -> list[Subject]:
    """The pairs inside a run that was made of pairs, a subject a store.

    Raises `BadInput` where there are none, `Refused` where one side lost a store.
    """
    named = _named(str(text))
    trials = named.run.trials
    if not {"base", "candidate"} <= set(trials["side"]):
        raise BadInput(f"{text}: not a run of pairs; expected two runs, or two stores of one")
    base, candidate = (_keys(trials[trials["side"] == side]) for side in ("base", "candidate"))
    if len(base) == len(candidate) == 1:
        pairs = [(base[0], candidate[0])]
    else:
        _refuse_lost(text, base, candidate)
        pairs = [(key, key) for key in base]
    return [
        Subject(_name(one, other), named.side(one, "base"), named.side(other, "candidate"))
        for one, other in pairs
    ]


@dataclass(frozen=True, slots=True)
class _Named:
    """A run as the user named it, with a store or without."""

    text: str
    run: results.Run
    store: str

    def stores(self) -> list[str]:
        known = _keys(self.run.trials)
        if not self.store:
            return known
        if self.store not in known:
            raise BadInput(f"{self.text}: no store {self.store}; the run has {', '.join(known)}")
        return [self.store]

    def side(self, key: str, which: str = "") -> Side:
        from harness.analysis.comparison import Side

        trials = self.run.trials[self.run.trials["key"] == key]
        if which:
            trials = trials[trials["side"] == which]
        return Side(which or f"{self.run.path}:{key}", self.run.manifest, trials)


def _named(text: str) -> _Named:
    """The longest beginning that is a folder is the run; what follows its colon is the store."""
    from harness.scenario.names import parse_store_name, without_workload

    if Path(text).is_dir() or ":" not in text:
        return _Named(text, _loaded(text), "")
    places = [place for place, sign in enumerate(text) if sign == ":"]
    for place in places:
        if Path(text[:place]).is_dir():
            store = text[place + 1 :]
            parse_store_name(without_workload(store))
            return _Named(text, _loaded(text[:place]), store)
    raise BadInput(f"{text}: not a run folder; expected RUN or RUN:store")


def _loaded(folder: str) -> results.Run:
    from harness import results

    run = results.load(folder)
    if not len(run.trials):
        raise BadInput(f"{folder}: no trials to compare; the run was cut off before its first")
    return run


def _same_run(one: _Named, other: _Named) -> bool:
    """By its own name, too: a copy in another folder is equal to it, which says nothing."""
    here, there = one.run, other.run
    return (
        here.path.resolve() == there.path.resolve() or here.manifest["run"] == there.manifest["run"]
    )


def _keys(trials: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(map(str, trials["key"])))


def _refuse_lost(text: str | Path, base: list[str], candidate: list[str]) -> None:
    for side, mine, other in (("base", base, candidate), ("candidate", candidate, base)):
        if lost := sorted(set(mine) - set(other)):
            raise Refused(f"{text}: only the {side} has {', '.join(lost)}: no pair to compare")


def _require_the_named_store(one: _Named, other: _Named) -> None:
    """Where only one store is named, the other run must have it, too."""
    for named, store in ((one, other.store), (other, one.store)):
        if not named.store and store not in named.stores():
            raise BadInput(
                f"{named.text}: no store {store}; the run has {', '.join(named.stores())}"
            )


def _subject(one: _Named, key: str, other: _Named, other_key: str) -> Subject:
    return Subject(_name(key, other_key), one.side(key), other.side(other_key))


def _name(key: str, other_key: str) -> str:
    return key if key == other_key else f"{key} → {other_key}"
