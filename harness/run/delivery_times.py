"""From an append's acknowledgement to each subscriber's handler, of any number of deliveries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.analysis.percentiles import values_of
from harness.load.trial_files import TrialFiles, blocks
from harness.results.sorted_rows import LOWEST, Scratch, SortedRows, even_cuts


class DeliveryTimes:
    """The times in ns of deliveries of measured appends.

    Negative where the subscriber was faster than the answer to the writer.
    """

    def __init__(self, sorted_ns: SortedRows, longest_ns: int) -> None:
        self._sorted_ns = sorted_ns
        self.longest_ns = longest_ns
        """The largest of them; 0 of none."""

    @classmethod
    def of(cls, files: TrialFiles, scratch: Scratch) -> DeliveryTimes:
        """Read a trial's files block by block; valid as long as the scratch."""
        sent, received = scratch.rows(3), scratch.rows(2)
        for block in blocks(files.samples, ("op", "first", "count", "done_ns")):
            own = (block["op"] >= 0) & (block["count"] > 0)
            sent.add(block["first"][own], block["count"][own], block["done_ns"][own])
        for block in blocks(files.deliveries, ("event", "handled_ns")):
            received.add(block["event"], block["handled_ns"])
        return cls(*_times(sent, received, scratch))

    def __len__(self) -> int:
        return len(self._sorted_ns)

    def percentiles(self, wanted: Sequence[float], *, unanswered: int = 0) -> list[float | None]:
        """As `analysis.percentiles.percentiles` has them."""
        return values_of(len(self), wanted, self._of_ranks, unanswered)

    def _of_ranks(self, ranks: Sequence[int]) -> list[float]:
        found: dict[int, float] = {}
        passed = 0
        for part in self._sorted_ns.all() if ranks else ():
            here = {each for each in ranks if passed <= each < passed + len(part)}
            found |= {each: float(part[each - passed, 0]) for each in here}
            passed += len(part)
        return [found[each] for each in ranks]


def _times(sent: SortedRows, received: SortedRows, scratch: Scratch) -> tuple[SortedRows, int]:
    """Deliveries joined with the append of their event, the last one that begins before it.

    The times, and the longest.
    """
    times, longest_ns = scratch.rows(2), 0
    cuts = [(event, LOWEST) for event in sorted({cut[0] for cut in even_cuts(sent, received)})]
    before = np.empty((0, 3), np.int64)
    for part, deliveries in zip(sent.parts(cuts), received.parts(cuts), strict=True):
        appends = np.concatenate((before, part))
        first, count, done_ns = np.ascontiguousarray(appends.T)
        event, handled_ns = deliveries.T
        place = np.searchsorted(first, event, side="right") - 1
        known = place >= 0
        known[known] = event[known] < (first + count)[place[known]]
        took_ns = handled_ns[known] - done_ns[place[known]]
        times.add(took_ns, np.zeros(len(took_ns), np.int64))
        longest_ns = max(longest_ns, int(took_ns.max(initial=0)))
        before = appends[-1:]
    return times, longest_ns
