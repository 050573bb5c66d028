"""Watching a run: one live line a trial on a terminal, plain log lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from harness.analysis.percentiles import stored_time
from harness.domain import formatting
from harness.load.progress import Snapshot
from harness.run.trial_metrics import Row
from harness.scenario.model import Trial, point_label

_NAME_WIDTH_MAX = 40


class _Heads:
    """The beginnings of lines: number, store and point, as wide as the run's longest."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        longest = max((len(self._name(trial)) for trial in trials), default=0)
        self._width = min(longest, _NAME_WIDTH_MAX)

    def of(self, trial: Trial) -> str:
        return f"{trial.number:>4}  {self._name(trial):<{self._width}} "

    @staticmethod
    def _name(trial: Trial) -> str:
        return trial.store.key + (f" {point_label(trial.point)}" if trial.point else "")


class _Progress:
    """How far the run is, and when it will be over if the rest goes as expected."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self._remaining = {trial.number: trial.expected_s for trial in trials}
        self._total = len(trials)
        self._expected_done_s = 0.0
        self._started_s = time.monotonic()

    def finish(self, trial: Trial) -> None:
        self._expected_done_s += self._remaining.pop(trial.number, 0.0)

    @property
    def eta_s(self) -> float:
        elapsed_s = time.monotonic() - self._started_s
        pace = elapsed_s / self._expected_done_s if self._expected_done_s else 1.0
        return sum(self._remaining.values()) * max(pace, 0.5)

    def __str__(self) -> str:
        done = self._total - len(self._remaining)
        return f"{done}/{self._total} trials, about {formatting.clock(self.eta_s)} left"


class LogLines:
    """For pipes and CI: a line when something happened, nothing in between."""

    def __init__(self, console: Console, trials: Sequence[Trial]) -> None:
        self._console = console
        self._heads = _Heads(trials)
        self._progress = _Progress(trials)

    def __enter__(self) -> LogLines:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to put away."""

    def note(self, text: str) -> None:
        """Print it."""
        self._console.print(Text(text), soft_wrap=True)

    def began(self, trial: Trial) -> None:
        """Say nothing yet."""

    def ticked(self, trial: Trial, snapshot: Snapshot) -> None:
        """Say nothing in between."""

    def ended(self, trial: Trial, row: Row) -> None:
        """One line for the finished trial."""
        self._progress.finish(trial)
        line = Text.assemble(finished_line(self._heads.of(trial), row), f"  [{self._progress}]")
        self._console.print(line, soft_wrap=True)


class LiveLines:
    """For a terminal: finished trials scroll up, the running one changes below them."""

    def __init__(self, console: Console, trials: Sequence[Trial]) -> None:
        self._console = console
        self._heads = _Heads(trials)
        self._progress = _Progress(trials)
        self._running = Text()
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)

    def __enter__(self) -> LiveLines:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = Text()
        self._live.stop()

    def note(self, text: str) -> None:
        """Print it above the live lines."""
        self._console.print(Text(text, style="yellow"))

    def began(self, trial: Trial) -> None:
        """Show that it is preparing."""
        self._running = Text.assemble(self._heads.of(trial), "preparing, warming up …")

    def ticked(self, trial: Trial, snapshot: Snapshot) -> None:
        """Show how it is doing."""
        self._running = Text.assemble(
            self._heads.of(trial),
            f"{snapshot.elapsed_s:4.1f} s {formatting.rate(snapshot.operations_per_s):>10} ",
            f" p50 {formatting.duration(snapshot.service_p50_ns):>7}",
            f"  p99 {formatting.duration(snapshot.service_p99_ns):>7}",
            f"  {snapshot.conflicts:,} conflicts" if snapshot.conflicts else "",
        )

    def ended(self, trial: Trial, row: Row) -> None:
        """Print the finished trial above the live lines."""
        self._progress.finish(trial)
        self._running = Text()
        self._console.print(finished_line(self._heads.of(trial), row))

    def _render(self) -> RenderableType:
        return Group(self._running, Text(str(self._progress), style="dim"))


def finished_line(head: str, row: Row) -> Text:
    """Throughput, percentiles, conflicts and verdict of a finished trial."""
    if "throughput_per_s" not in row:
        return Text.assemble(head, (f"{row['status']}: {row['message']}", "red"))
    times = "response" if row["load"] == "open" else "service"
    return Text.assemble(
        head,
        f"{formatting.rate(row['throughput_per_s']):>9}",
        f"  p50 {formatting.duration(stored_time(row, times, 'p50')):>7}",
        f"  p99 {formatting.duration(stored_time(row, times, 'p99')):>7}",
        f"  {row['conflicts']:,} conflicts" if row["conflicts"] else "",
        "  ",
        _verdict(row),
    )


_VERIFIED = {"ok": "verified", "off": "not verified", "impossible": "keeps nothing to verify"}


def _verdict(row: Row) -> tuple[str, str]:
    if not row["valid"]:
        first = row.get("first_violation") or row["message"] or "accounting does not balance"
        return f"INVALID: {first}", "red"
    if row["verified"] == "findings":
        return f"{row['violations']} findings: {row['first_violation']}", "yellow"
    verified = str(row["verified"])
    if row.get("rule_violations"):
        return (
            f"{_VERIFIED.get(verified, verified)}, rules broken: {row['rule_violations']}",
            "yellow",
        )
    return _VERIFIED.get(verified, verified), "green"
