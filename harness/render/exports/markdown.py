"""The ranking as GitHub tables, for job summaries and comments on pull requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from harness.analysis import summary
from harness.domain import formatting
from harness.domain.flags import sentence
from harness.render.table import Table, as_markdown, markdown_code, markdown_text, numbers, texts
from harness.results import Run

_COLUMNS = (
    *numbers(""),
    *texts("store"),
    *numbers("ops/s", "least – most", "of best (95 %)", "p50", "p99"),
)


def markdown(run: Run) -> str:
    """A table a point and durability class, best first, with remarks under it."""
    trials = summary.shown(run.trials)
    blocks = [_heading(run)]
    for _, group in summary.ranking(trials).groupby(summary.GROUP, sort=False):
        blocks += [as_markdown(_table(group)), *_remarks(group)]
    return "\n\n".join(blocks) + "\n"


def _heading(run: Run) -> str:
    scenario, commit = run.manifest.get("scenario", {}), run.manifest.get("commit", {})
    lines = [f"### {markdown_text(scenario.get('name', 'run'))}"]
    where = f"Run {markdown_code(run.manifest.get('run', ''))}"
    seed = markdown_text(scenario.get("seed", ""))
    lines.append(f"{where}, seed {seed}, commit {markdown_code(_commit_of(commit))}.")
    lines += [f"- {markdown_text(sentence([flag]))}" for flag in summary.run_flags(run.manifest)]
    return "\n".join(lines)


def _commit_of(commit: Mapping[str, object]) -> str:
    return str(commit.get("commit", "unknown"))[:10]


def _table(group: pd.DataFrame) -> Table:
    first = group.iloc[0]
    parts = (first["durability"] or "unknown durability", first["load_label"], first["point_label"])
    where = ", ".join(part for part in parts if part)
    rows = [_cells(row) for _, row in group.iterrows()]
    return Table(_COLUMNS, rows, f"{where}, {first['times']} times")


def _cells(row: pd.Series) -> Sequence[str]:
    return (
        str(row["rank"]) if row["reason"] == "" else formatting.MISSING,
        str(row["key"]),
        formatting.number(row["throughput_per_s"]),
        formatting.numbers(row["throughput_min_per_s"], row["throughput_max_per_s"]),
        formatting.ratio_between(row["relative_to_best"], row["low"], row["high"]),
        formatting.duration(row["p50_ns"]),
        formatting.duration(row["p99_ns"]),
    )


def _remarks(group: pd.DataFrame) -> Iterator[str]:
    lines = []
    for _, row in group.iterrows():
        remarks = "; ".join(filter(None, [row["reason"], *row["flags"], row["emulator"]]))
        if remarks:
            lines.append(f"- {markdown_text(row['key'])}: {markdown_text(remarks)}")
    if lines:
        yield "\n".join(lines)
