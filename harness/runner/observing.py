"""Who watches a run: a terminal, log lines, or nobody."""

from __future__ import annotations

from typing import Protocol

from harness.generator.progress import Snapshot
from harness.runner.rows import Row
from harness.scenario.types import Trial


class Observer(Protocol):
    """Told what happens, as it happens."""

    def note(self, text: str) -> None:
        """Something to know about the run: a store left out, a server starting."""
        ...

    def began(self, trial: Trial) -> None:
        """A trial begins."""
        ...

    def ticked(self, trial: Trial, snapshot: Snapshot) -> None:
        """A look at the running trial."""
        ...

    def ended(self, trial: Trial, row: Row) -> None:
        """A trial is on disk."""
        ...
