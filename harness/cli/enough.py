"""Whether so many pairs can show a change of time at all: said before the first of them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from harness.compare import Metric, pairs_for
from harness.compare.intervals import ALPHA
from harness.scenario.types import Scenario


def rows_of_time(scenario: Scenario, metrics: Sequence[Metric]) -> int:
    """At most so many rows share the level: each timed metric at each point of each store."""
    timed = sum(metric.kind == "timed" for metric in metrics)
    points = len({str(trial.point) for trial in scenario.trials})
    stores = len({trial.store.key for trial in scenario.trials if trial.side != "candidate"})
    return timed * points * stores


def tell_too_few(
    scenario: Scenario, metrics: Sequence[Metric], pairs: int, console: Console
) -> None:
    """A line where even pairs that all agree would leave every time of so many inconclusive."""
    rows = rows_of_time(scenario, metrics)
    needed = pairs_for(ALPHA / rows)
    if pairs < needed:
        told = f"{pairs} pairs cannot show a change of time in up to {rows} rows at once"
        hint = f"--pairs {needed} could; for counts two will do"
        console.print(Text(f"! {told}: {hint}", style="yellow"), soft_wrap=True)
