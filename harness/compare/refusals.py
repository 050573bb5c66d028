"""What would mislead is refused; what may is said beside the verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.compare.fingerprint import fingerprint
from harness.errors import Refused
from harness.summary import listed, merged, run_flags

REPETITIONS_MIN = 5
_COUNTED_APART = ("operations failed", "generator-bound", "not steady", "a whole core", "achieved")
"""Flags of trials that matter when two sides are held against each other."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: trials of a run, and that run's manifest."""

    name: str
    """As the user wrote it."""
    manifest: Mapping[str, Any]
    trials: pd.DataFrame

    @property
    def run(self) -> str:
        """The run that it is from."""
        return str(self.manifest.get("run", ""))


def refuse(base: Side, candidate: Side, *, allow_mixed_durability: bool = False) -> None:
    """Raise `Refused` for what must not be compared."""
    for side in (base, candidate):
        _refuse_invalid(side)
    _refuse_other_scenario(base, candidate)
    if not allow_mixed_durability:
        _refuse_other_durability(base, candidate)


def warnings(base: Side, candidate: Side, *, interleaved: bool, timed: bool = True) -> list[str]:
    """What the reader has to know beside the verdicts, one line each.

    `timed` is whether times are compared at all, and not counts alone.
    """
    found = [*_mixed(base, candidate), *_of_runs(base, candidate), *_of_trials(base, candidate)]
    if not interleaved and timed:
        found.append(
            "the two sides did not take turns: on shared machines timed verdicts made this way"
            " are false alarms up to one time in three; `eslab ab` interleaves"
        )
    if not interleaved and _machine(base) != _machine(candidate):
        found.append("measured on different machines: only counted metrics can be compared")
    if timed and 0 < min(_repetitions(base), _repetitions(candidate)) < REPETITIONS_MIN:
        found.append(
            f"fewer than {REPETITIONS_MIN} pairs of a point: no change of a timed metric can be"
            " significant"
        )
    return list(dict.fromkeys(found))


def mixed_durability(base: Side, candidate: Side) -> bool:
    """Whether the sides are of different durability classes."""
    return _durability(base) != _durability(candidate)


def _refuse_invalid(side: Side) -> None:
    wrong = side.trials[~side.trials["valid"] | (side.trials["ok"] == 0)]
    if not len(wrong):
        return
    first = wrong.iloc[0]
    nothing = "" if first["ok"] else "nothing ended well"
    why = first["first_violation"] or first["message"] or nothing or first["status"]
    told = f"{len(wrong)} of {len(side.trials)} trials are not valid"
    raise Refused(f"{side.name}: {told}: {first['trial_id']}: {why}")


def _refuse_other_scenario(base: Side, candidate: Side) -> None:
    one, other = (side.manifest["scenario"]["hash"] for side in (base, candidate))
    if one != other:
        names = [side.manifest["scenario"].get("name", "?") for side in (base, candidate)]
        told = f"{names[0]} ({one[:12]}) and {names[1]} ({other[:12]})"
        raise Refused(f"not the same scenario: {told} asked different things of the stores")


def _refuse_other_durability(base: Side, candidate: Side) -> None:
    one, other = (_durability(side) for side in (base, candidate))
    if mixed_durability(base, candidate):
        told = f"{', '.join(one)} against {', '.join(other)}"
        hint = "--allow-mixed-durability compares them, labelled"
        raise Refused(f"not the same durability class: {told}; {hint}")


def _durability(side: Side) -> list[str]:
    return sorted(set(side.trials["durability"]))


def _mixed(base: Side, candidate: Side) -> list[str]:
    one, other = (", ".join(_durability(side)) for side in (base, candidate))
    mixed = mixed_durability(base, candidate)
    return [f"MIXED DURABILITY: base {one}, candidate {other}"] if mixed else []


def _of_runs(base: Side, candidate: Side) -> list[str]:
    sides = [base] if base.run == candidate.run else [base, candidate]
    found = []
    for side in sides:
        flags = [flag for flag in run_flags(side.manifest) if "repetitions" not in flag]
        found += [flag if len(sides) == 1 else f"{side.name}: {flag}" for flag in flags]
    return found


def _of_trials(base: Side, candidate: Side) -> list[str]:
    found = []
    for place, side in (("base", base), ("candidate", candidate)):
        flags: Sequence[str] = merged([listed(text) for text in side.trials["flags"]])
        told = [flag for flag in flags if any(words in flag for words in _COUNTED_APART)]
        found += [f"{place}: {flag}" for flag in told]
    return found


def _repetitions(side: Side) -> int:
    """Of the point that has the fewest."""
    return int(side.trials.groupby(["workload", "point"]).size().min()) if len(side.trials) else 0


def _machine(side: Side) -> str:
    return fingerprint(side.manifest.get("environment", {}))
