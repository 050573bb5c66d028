"""What a gate decides on, and its answer from the rows of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.analysis.comparison.comparing import Comparison, Row, Verdict
from harness.analysis.comparison.metrics import CONFLICTS, Metric, margins_given, parse_margins
from harness.domain.errors import BadInput, Refused

PASSED, FAILED, UNDECIDED = "passed", "failed", "undecided"
"""Undecided: no metric regressed, and at least one could not be decided."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Passed, failed or undecided, and what makes it so."""

    verdict: str
    regressed: tuple[str, ...]
    undecided: tuple[str, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """The metrics that regressed, else those that could not be decided, a line each."""
        return self.regressed or self.undecided


def gated_metrics(margins: Sequence[str], *, stored: bool) -> tuple[Metric, ...]:
    """All of them, but no timed ones against a result of another day. Raises `BadInput`.

    There conflicts are gated only where they are asked for.
    """
    metrics = parse_margins(margins)
    if not stored:
        return metrics
    asked = margins_given(margins)
    timed = [each.name for each in metrics if each.kind == "timed" and each.name in asked]
    if timed:
        raise BadInput(
            f"--margin: {', '.join(timed)} can't be gated against a stored baseline:"
            " time needs both sides interleaved; use --base-ref"
        )
    return tuple(
        replace(metric, gated=False) if metric.name in {CONFLICTS} - set(asked) else metric
        for metric in metrics
        if metric.kind != "timed"
    )


def refuse_unmeasured(comparison: Comparison, margins: Sequence[str], *, source: str) -> None:
    """Raises `Refused` for a margin of a metric that no store here has: it would pass for nothing.

    `source` begins the message.
    """
    measured = {row.metric.name for row in comparison.rows}
    missing = [name for name in margins_given(margins) if name not in measured]
    if missing:
        problem = f"--margin {missing[0]}: none of these stores tells it, so nothing was gated"
        raise Refused(f"{source}: {problem}")


def answer_of(comparison: Comparison, left_open: Sequence[str] = ()) -> Answer:
    """A gate's answer; it does not pass with anything left open."""
    regressed = comparison.having(Verdict.REGRESSED, gated=True)
    undecided = comparison.having(Verdict.INCONCLUSIVE, gated=True)
    nothing = [f"{name}: nothing was counted" for name in comparison.untold()]
    doubts = (*map(_short, undecided), *nothing, *left_open)
    verdict = FAILED if regressed else UNDECIDED if doubts else PASSED
    return Answer(verdict, tuple(map(_short, regressed)), doubts)


def _short(row: Row) -> str:
    return f"{row.subject}, {row.point}: {row.metric.label} {row.shown_change}"
