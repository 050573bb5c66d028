"""`RUN` and `RUN:store` as the sides of comparisons."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness import results
from harness.compare import Side
from harness.errors import BadInput, Refused
from harness.scenario.naming import parse_store_name


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


@dataclass(frozen=True, slots=True)
class _Named:
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
        trials = self.run.trials[self.run.trials["key"] == key]
        if which:
            trials = trials[trials["side"] == which]
        return Side(which or f"{self.run.path}:{key}", self.run.manifest, trials)


def subjects(
    base: str, candidate: str, *, only: Collection[str] = ()
) -> tuple[list[Subject], list[str]]:
    """The comparisons that two texts ask for, and what is left out. Raises `BadInput`.

    Stores that are named are held against each other; without names, each store that both runs
    have against itself, or `only` these of them. One run that `ab`, `gate` or `aa` made has its
    sides inside.
    """
    if not candidate:
        return of_pairs(base), []
    one, other = _named(base), _named(candidate)
    if one.store or other.store:
        keys = one.stores() if one.store else [other.store]
        others = other.stores() if other.store else [one.store]
        _one_and_one(one, other)
        if _same_run(one, other) and keys[0] == others[0]:
            raise BadInput(f"{base} and {candidate} are the same trials; expected two stores")
        return [_subject(one, keys[0], other, others[0])], []
    if _same_run(one, other):
        raise BadInput(f"{base} and {candidate} are the same run; name two stores, RUN:store")
    common = [key for key in one.stores() if key in other.stores()]
    if not common:
        raise BadInput(f"{base} and {candidate} have no store in common; name them, RUN:store")
    asked = set(only) or {*one.stores(), *other.stores()}
    missing = sorted(asked - set(common))
    told = [f"{key}: only one of the runs has it" for key in missing]
    return [_subject(one, key, other, key) for key in common if key in asked], told


def of_pairs(text: str | Path) -> list[Subject]:
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


def _one_and_one(one: _Named, other: _Named) -> None:
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


def _named(text: str) -> _Named:
    """The longest beginning that is a folder is the run; what follows its colon is the store."""
    if Path(text).is_dir() or ":" not in text:
        return _Named(text, _loaded(text), "")
    places = [place for place, sign in enumerate(text) if sign == ":"]
    for place in places:
        if Path(text[:place]).is_dir():
            store = text[place + 1 :]
            parse_store_name(store)
            return _Named(text, _loaded(text[:place]), store)
    raise BadInput(f"{text}: not a run folder; expected RUN or RUN:store")


def _loaded(folder: str) -> results.Run:
    run = results.load(folder)
    if not len(run.trials):
        raise BadInput(f"{folder}: no trials to compare; the run was cut off before its first")
    return run
