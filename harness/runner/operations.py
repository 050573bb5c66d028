"""The measured operations of a trial, read anew for each question, so that memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.outcome import Outcome
from harness.runner.tables import Columns, blocks, rows_in


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over operations. `events` are those of operations that ended well."""

    ended: NDArray[np.int64]
    """How many had each `Outcome`."""
    events: int
    attempts: int
    retries: int


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations in one trial's samples; prefilling and warm-up are left out."""

    samples: Path

    def tally(self) -> Tally:
        """How they ended, in one pass."""
        ended = np.zeros(len(Outcome), np.int64)
        events = attempts = retries = 0
        for block in self._blocks("outcome", "attempts", "events"):
            ended += np.bincount(block["outcome"], minlength=len(Outcome))
            events += int(block["events"][block["outcome"] == Outcome.OK].sum())
            attempts += int(block["attempts"].sum())
            retries += int(np.maximum(block["attempts"] - 1, 0).sum())
        return Tally(ended, events, attempts, retries)

    def ends_ns(self) -> NDArray[np.int64]:
        """When each that ended well was done, on the trial's clock."""
        return self._gathered("done_ns", None)

    def times_ns(self, until: str, since: str) -> NDArray[np.int64]:
        """From one moment to another, by their columns, of each that ended well."""
        return self._gathered(until, since)

    def _gathered(self, until: str, since: str | None) -> NDArray[np.int64]:
        """One array of their number, filled a block at a time."""
        gathered, filled = np.empty(rows_in(self.samples), np.int64), 0
        names = (until,) if since is None else (until, since)
        for block in self._blocks("outcome", *names):
            values = block[until] if since is None else block[until] - block[since]
            ok = values[block["outcome"] == Outcome.OK]
            gathered[filled : filled + len(ok)] = ok
            filled += len(ok)
        return gathered[:filled]

    def _blocks(self, *names: str) -> Iterator[Columns]:
        for block in blocks(self.samples, ("op", *names)):
            measured = block["op"] >= 0
            yield {name: block[name][measured] for name in names}
