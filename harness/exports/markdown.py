"""The ranking as GitHub tables, for job summaries and comments on pull requests."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from harness import summary, words
from harness.results import Run

_HEADS = ("", "store", "ops/s", "least – most", "of best (95 %)", "p50", "p99")
_RULE = ("---:", "---", "---:", "---:", "---:", "---:", "---:")


def markdown(run: Run) -> str:
    """A table a point and durability class, best first, with what is to be said beside it."""
    trials = summary.shown(run.trials)
    behind, blocks = summary.leads(trials), [_heading(run)]
    for _, group in summary.ranking(trials).groupby(summary.GROUP, sort=False):
        same = (behind[summary.GROUP] == group[summary.GROUP].iloc[0]).all(axis=1)
        blocks += [_title(group.iloc[0]), _table(group, behind[same]), *_remarks(group)]
    return "\n\n".join(blocks) + "\n"


def _heading(run: Run) -> str:
    scenario, commit = run.manifest.get("scenario", {}), run.manifest.get("commit", {})
    told = [f"### {_safe(scenario.get('name', 'run'))}"]
    where = f"Run `{run.manifest.get('run', '')}`, seed {scenario.get('seed', '')}"
    told.append(f"{where}, commit `{str(commit.get('commit', 'unknown'))[:10]}`.")
    told += [f"- {_safe(flag)}" for flag in summary.run_flags(run.manifest)]
    return "\n".join(told)


def _title(row: pd.Series) -> str:
    parts = (row["durability"] or "unknown durability", row["load_label"], row["point_label"])
    told = ", ".join(_safe(part) for part in parts if part)
    return f"**{told}, {row['times']} times**"


def _table(group: pd.DataFrame, behind: pd.DataFrame) -> str:
    ratios = {
        str(row["key"]): words.ratio_between(row["ratio"], row["low"], row["high"])
        for _, row in behind.iterrows()
    }
    rows = [_HEADS, _RULE, *(_cells(row, ratios) for _, row in group.iterrows())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(row: pd.Series, ratios: Mapping[str, str]) -> Sequence[str]:
    key = str(row["key"])
    return (
        str(row["rank"]) if row["reason"] == "" else words.MISSING,
        _safe(key),
        words.number(row["throughput_per_s"]),
        words.numbers(row["throughput_min_per_s"], row["throughput_max_per_s"]),
        ratios.get(key) or words.ratio(row["relative_to_best"]),
        words.duration(row["p50_ns"]),
        words.duration(row["p99_ns"]),
    )


def _remarks(group: pd.DataFrame) -> Iterator[str]:
    told = []
    for _, row in group.iterrows():
        said = "; ".join(filter(None, [row["reason"], *row["flags"], row["emulator"]]))
        if said:
            told.append(f"- {_safe(row['key'])}: {_safe(said)}")
    if told:
        yield "\n".join(told)


def _safe(text: object) -> str:
    """Text that neither ends a cell nor becomes markup."""
    escaped = html.escape(str(text), quote=False).replace("\\", "\\\\")
    for mark in "|`*_[]":
        escaped = escaped.replace(mark, "\\" + mark)
    return " ".join(escaped.split())
