"""What stands under each figure: load, durability class, machine, commit and verdict flags."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness import summary
from harness.figures.style import Mark, marks

_COMMIT_DIGITS = 10
_CHARACTERS_A_LINE = 68


@dataclass(frozen=True, slots=True)
class About:
    """What a run's figures have in common: where it ran, and how each store is drawn."""

    run: str
    machine: str
    commit: str
    flags: Sequence[str]
    marks: Mapping[str, Mark]


def about(manifest: Mapping[str, Any], trials: pd.DataFrame) -> About:
    """The common part of all captions of a run."""
    return About(
        run=str(manifest.get("run", "")),
        machine=machine(manifest),
        commit=commit(manifest),
        flags=summary.run_flags(manifest),
        marks=marks([str(key) for key in trials["key"]]),
    )


def machine(manifest: Mapping[str, Any]) -> str:
    """CPU model and number of cores."""
    cpu = manifest.get("environment", {}).get("cpu", {})
    cores = cpu.get("cores")
    plural = "" if cores == 1 else "s"
    return str(cpu.get("model", "unknown CPU")) + (f", {cores} core{plural}" if cores else "")


def commit(manifest: Mapping[str, Any]) -> str:
    """The commit, shortened, and whether its tree was dirty."""
    found = manifest.get("commit", {})
    text = str(found.get("commit", ""))[:_COMMIT_DIGITS] or "unknown"
    return f"{text} + uncommitted changes" if found.get("dirty") else text


def caption(trials: pd.DataFrame, about: About, *, extra: Sequence[str] = ()) -> str:
    """Several lines of text, for the figure of these trials."""
    loads, classes = _unique(trials, "load_label"), _unique(trials, "durability")
    lines = [
        f"{'; '.join(_unique(trials, 'workload'))} · {'; '.join(loads)} · {'; '.join(classes)}",
        f"{about.machine} · commit {about.commit} · run {about.run}",
        *extra,
        *_flag_lines(trials, about),
    ]
    wrapped = [textwrap.wrap(line, _CHARACTERS_A_LINE, subsequent_indent="  ") for line in lines]
    return "\n".join(line for lines in wrapped for line in lines)


def _flag_lines(trials: pd.DataFrame, about: About) -> list[str]:
    lines = [f"⚑ {'; '.join(about.flags)}"] if about.flags else []
    found = summary.by_flag(trials)
    everyone = ", ".join(sorted(set(trials["key"])))
    for flag, stores in zip(found["flag"], found["stores"], strict=True):
        lines.append(f"⚑ {flag}: {'all' if stores == everyone else stores}")
    return lines


def _unique(trials: pd.DataFrame, column: str) -> list[str]:
    return [str(value) for value in trials[column].unique() if value] or ["unknown"]
