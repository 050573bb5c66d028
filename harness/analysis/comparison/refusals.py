"""Refuses comparisons that make no sense, and warns about what a reader of a verdict must know."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.analysis.summary import run_flags
from harness.domain import formatting
from harness.domain.errors import Refused
from harness.domain.flags import COMPARED, FlagCode, listed, merged, sentence
from harness.domain.placement import Placement, placement_of

_FACTS = (
    "cpu", "memory_bytes", "memory_limit_bytes", "cpu_limit_cores", "kernel", "system",
    "virtualisation", "filesystem", "python", "versions",
)  # fmt: skip
"""The facts that change only with the machine or its software."""


def fingerprint(environment: Mapping[str, Any]) -> str:
    """A short hash of a manifest's `environment`, the same for the same machine and software."""
    facts = {name: environment.get(name) for name in _FACTS}
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


REPETITIONS_MIN = 5


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: trials of a run and its manifest."""

    name: str
    """The side as the user wrote it."""
    manifest: Mapping[str, Any]
    trials: pd.DataFrame

    @property
    def run(self) -> str:
        """The name of its run."""
        return str(self.manifest.get("run", ""))


def refuse(base: Side, candidate: Side, *, allow_mixed_durability: bool = False) -> None:
    """Raises `Refused` for two sides that must not be compared."""
    for side in (base, candidate):
        _refuse_invalid(side)
    _refuse_other_scenario(base, candidate)
    if not allow_mixed_durability:
        _refuse_other_durability(base, candidate)


def warnings(base: Side, candidate: Side, *, interleaved: bool, timed: bool = True) -> list[str]:
    """What the reader of the verdicts must know, one line each.

    `timed` is whether the comparison has timed metrics, and not only counts.
    """
    lines = [*_mixed(base, candidate), *_of_runs(base, candidate), *_of_trials(base, candidate)]
    lines += _placed(base, candidate)
    if not interleaved and timed:
        lines.append(
            "the two sides did not take turns: on shared machines timed verdicts made this way"
            " are false alarms up to one time in three; `eslab ab` interleaves"
        )
    if not interleaved and _machine(base) != _machine(candidate):
        lines.append("measured on different machines: only counted metrics can be compared")
    elif not interleaved:
        lines += _moved(base, candidate)
    if timed and 0 < min(_repetitions(base), _repetitions(candidate)) < REPETITIONS_MIN:
        lines.append(
            f"fewer than {REPETITIONS_MIN} pairs of a point: no change of a timed metric can be"
            " significant"
        )
    return list(dict.fromkeys(lines))


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
    count = f"{len(wrong)} of {len(side.trials)} trials are not valid"
    raise Refused(f"{side.name}: {count}: {first['trial_id']}: {why}")


def _refuse_other_scenario(base: Side, candidate: Side) -> None:
    one, other = (side.manifest["scenario"]["hash"] for side in (base, candidate))
    if one != other:
        names = [side.manifest["scenario"].get("name", "?") for side in (base, candidate)]
        scenarios = f"{names[0]} ({one[:12]}) and {names[1]} ({other[:12]})"
        raise Refused(f"not the same scenario: {scenarios} asked different things of the stores")


def _refuse_other_durability(base: Side, candidate: Side) -> None:
    one, other = (_durability(side) for side in (base, candidate))
    if mixed_durability(base, candidate):
        classes = f"{', '.join(one)} against {', '.join(other)}"
        hint = "--allow-mixed-durability compares them, labelled"
        raise Refused(f"not the same durability class: {classes}; {hint}")


def _durability(side: Side) -> list[str]:
    return sorted(set(side.trials["durability"]))


def _mixed(base: Side, candidate: Side) -> list[str]:
    one, other = (", ".join(_durability(side)) for side in (base, candidate))
    mixed = mixed_durability(base, candidate)
    return [f"MIXED DURABILITY: base {one}, candidate {other}"] if mixed else []


def _moved(base: Side, candidate: Side) -> Iterator[str]:
    """A line for each store whose data lay somewhere else in the other run."""
    one, other = (side.manifest.get("places", {}) for side in (base, candidate))
    compared = set(base.trials["store"]) & set(candidate.trials["store"])
    for name in sorted(compared & one.keys() & other.keys()):
        lay, lies = (formatting.place(places[name]) for places in (one, other))
        if lay != lies:
            yield f"{name}: data on different disks: base {lay}, candidate {lies}"


def _placed(base: Side, candidate: Side) -> Iterator[str]:
    """A line where the sides ran on other cores, and one where other numbers of clients' processes
    offered their load. A library against a server has no other choice, and needs no line.
    """
    one, other = (
        {each for each in _placements(side) if each.served and str(each)}
        for side in (base, candidate)
    )
    if one and other and one != other:
        texts = ("; ".join(sorted(map(str, each))) for each in (one, other))
        yield "different placement: base {}, candidate {}".format(*texts)
    counts = [sorted(set(side.trials["processes"].dropna())) for side in (base, candidate)]
    if all(counts) and counts[0] != counts[1]:
        texts = (", ".join(f"{count:.0f}" for count in each) for each in counts)
        yield "different numbers of worker processes: base {}, candidate {}".format(*texts)


def _placements(side: Side) -> set[Placement]:
    return {placement_of(dict(row), side.manifest) for _, row in side.trials.iterrows()}


def _of_runs(base: Side, candidate: Side) -> list[str]:
    sides = [base] if base.run == candidate.run else [base, candidate]
    lines = []
    for side in sides:
        flags = [flag for flag in run_flags(side.manifest) if flag.code != FlagCode.FEW_REPETITIONS]
        texts = [sentence([flag]) for flag in flags]
        lines += [text if len(sides) == 1 else f"{side.name}: {text}" for text in texts]
    return lines


def _of_trials(base: Side, candidate: Side) -> list[str]:
    lines = []
    for place, side in (("base", base), ("candidate", candidate)):
        lists = [listed(cell) for cell in side.trials["flags"]]
        compared = [[flag for flag in flags if flag.code in COMPARED] for flags in lists]
        lines += [f"{place}: {text}" for text in merged(compared)]
    return lines


def _repetitions(side: Side) -> int:
    """The repetitions of the point with the fewest."""
    return int(side.trials.groupby(["workload", "point"]).size().min()) if len(side.trials) else 0


def _machine(side: Side) -> str:
    return fingerprint(side.manifest.get("environment", {}))
