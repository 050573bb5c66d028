"""One pass over a trial's samples: what its metrics, seconds and histograms are made from.

It keeps 4 bytes a value where times fit 32 bits (below 4.3 s), so that the exact percentiles of ten
million operations of a closed loop need some 80 MiB. Of a longer trial it keeps counts alone, and
reads the rest again where it is needed: memory does not grow with the length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.domain.expected_version import ANY
from harness.domain.outcome import Outcome
from harness.load.loops import Window
from harness.load.pacing import NS_A_SECOND
from harness.load.trial_files import Columns, TrialFiles, blocks, rows_in
from harness.run.long_trials import LongColumn, LongCompletions
from harness.run.outages import Service, Unanswered
from harness.scenario.model import ClosedLoop, Load

Values = NDArray[Any]
"""Integers: uint32 where they fit, else int64."""

_UINT32_MAX = (1 << 32) - 1
_EVER = np.iinfo(np.int64)
_SHORTEST_NS = 100_000_000
_ANSWERED = (Outcome.OK, Outcome.CONFLICT)
KEPT_MAX = 10_000_000
"""Operations of a longer trial are counted and read again."""
_OPEN_KEEPS = 3
"""An operation of an open loop has six values, one of a closed loop two."""


class NarrowColumn:
    """At most `length` integers: 4 bytes each as long as all of them fit, else 8."""

    def __init__(self, length: int) -> None:
        self._values: Values = np.empty(length, np.uint32)
        self._count = 0

    def extend(self, values: NDArray[np.int64]) -> None:
        """Add a block."""
        narrow = self._values.dtype == np.uint32
        if narrow and len(values) and (values.min() < 0 or values.max() > _UINT32_MAX):
            self._values = self._values.astype(np.int64)
        end = self._count + len(values)
        self._values[self._count : end] = values
        self._count = end

    @property
    def values(self) -> Values:
        """What was added, in its order; a view."""
        return self._values[: self._count]


class Completions:
    """The operations that ended well: when each ended, and the times it took.

    Times of the columns are kept in the order of the samples, which is nearly that of the ends.
    """

    def __init__(self, length: int, *, open_loop: bool) -> None:
        self.service_ns = NarrowColumn(length)
        self.response_ns = NarrowColumn(length) if open_loop else None
        self.count = 0
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._first_ns: list[int] = []
        self._last_ns: list[int] = []
        self._offsets_ns = NarrowColumn(length)
        """The ends, each from the first end of its part on. One array: many small ones that
        outlive their neighbours would keep half as much memory again from being returned."""

    @property
    def last_ns(self) -> int:
        """When the last of them ended."""
        return max(self._last_ns)

    def extend(self, block: Columns, group: int = 0) -> None:  # noqa: ARG002 - of a long trial
        """Add operations that ended well."""
        done_ns = block["done_ns"]
        if not len(done_ns):
            return
        self.service_ns.extend(done_ns - block["sent_ns"])
        if self.response_ns is not None:
            self.response_ns.extend(done_ns - block["intended_ns"])
        parts = 2 * int(done_ns.max() - done_ns.min()) // _UINT32_MAX + 1
        for part in np.array_split(done_ns, min(parts, len(done_ns))):
            first_ns, last_ns = int(part.min()), int(part.max())
            self._offsets_ns.extend(part - first_ns)
            self._starts.append(self.count)
            self._first_ns.append(first_ns)
            self._last_ns.append(last_ns)
            self.count += len(part)
            self._ends.append(self.count)

    def split(self, edges_ns: Sequence[int], column: object) -> Iterator[Values]:
        """The column's values by the time of the end: one array more than there are edges.

        An end on an edge belongs after it.
        """
        assert isinstance(column, NarrowColumn), "a column of these"
        values = column.values
        for selections in self._selections(edges_ns):
            yield np.concatenate([values[:0], *(values[each] for each in selections)])

    def counts(self, edges_ns: Sequence[int]) -> list[int]:
        """How many ended between the edges."""
        return [
            sum(
                each.stop - each.start if isinstance(each, slice) else len(each)
                for each in selections
            )
            for selections in self._selections(edges_ns)
        ]

    def _selections(self, edges_ns: Sequence[int]) -> Iterator[list[slice | NDArray[np.int64]]]:
        firsts, lasts = np.array(self._first_ns, np.int64), np.array(self._last_ns, np.int64)
        bounds = [_EVER.min, *edges_ns, _EVER.max]
        for from_ns, to_ns in pairwise(bounds):
            overlapping = np.flatnonzero((firsts < to_ns) & (lasts >= from_ns))
            yield [self._selected(int(number), from_ns, to_ns) for number in overlapping]

    def _selected(self, number: int, from_ns: int, to_ns: int) -> slice | NDArray[np.int64]:
        start, end = self._starts[number], self._ends[number]
        first_ns = self._first_ns[number]
        if from_ns <= first_ns and self._last_ns[number] < to_ns:
            return slice(start, end)
        offsets_ns = self._offsets_ns.values[start:end]
        inside = (offsets_ns >= max(from_ns - first_ns, 0)) & (
            offsets_ns < min(to_ns - first_ns, self._last_ns[number] - first_ns + 1)
        )
        return np.flatnonzero(inside) + start


class Seconds:
    """Operations that ended in each second of the window, and those in flight at its end.

    The last second may be up to 1.1 s long: a shorter rest belongs to the second before it.
    """

    def __init__(self, window: Window) -> None:
        whole, rest_ns = divmod(window.ended_ns - window.started_ns, NS_A_SECOND)
        count = max(1, whole + (rest_ns > _SHORTEST_NS))
        starts_ns = [window.started_ns + number * NS_A_SECOND for number in range(count)]
        self.bounds_ns = [*starts_ns, window.ended_ns]
        self._ends_ns = np.array(self.bounds_ns[1:], np.int64)
        self.ended = np.zeros((count, len(Outcome)), np.int64)
        self.in_flight = np.zeros(count, np.int64)

    @property
    def edges_ns(self) -> list[int]:
        """Between one second and the next."""
        return self.bounds_ns[1:-1]

    def extend(self, block: Columns) -> None:
        """Count a block of measured operations."""
        done_ns, outcome = block["done_ns"], block["outcome"]
        first, last = self._numbers(np.array((done_ns.min(), done_ns.max())))
        cells = (self._numbers(done_ns) - first) * len(Outcome) + outcome
        size = (last - first + 1) * len(Outcome)
        self.ended[first : last + 1] += np.bincount(cells, minlength=size).reshape(-1, len(Outcome))
        self._count_in_flight(block["sent_ns"], done_ns)

    def _numbers(self, done_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """The second in which each ended: all but the last are of one length."""
        numbers = (done_ns - self.bounds_ns[0]) // NS_A_SECOND
        return numbers.clip(0, len(self.ended) - 1)

    def _count_in_flight(self, sent_ns: NDArray[np.int64], done_ns: NDArray[np.int64]) -> None:
        sent = sent_ns > 0
        if not sent.all():
            sent_ns, done_ns = sent_ns[sent], done_ns[sent]
        bounds_ns = (sent_ns.min(initial=_EVER.max), done_ns.max(initial=0))
        first, last = np.searchsorted(self._ends_ns, bounds_ns, "right")
        for number in range(first, last):
            end_ns = self._ends_ns[number]
            ended, begun = np.count_nonzero(done_ns >= end_ns), np.count_nonzero(sent_ns >= end_ns)
            self.in_flight[number] += ended - begun  # nothing ends before it was sent


class TrialSamples:
    """What one pass over a trial's samples keeps; prefilling and warm-up are left out."""

    def __init__(
        self, load: Load, window: Window, files: TrialFiles, kept_max: int = KEPT_MAX
    ) -> None:
        length = rows_in(files.samples)
        self.window = window
        self.is_open = not isinstance(load, ClosedLoop)
        self.ended = np.zeros(len(Outcome), np.int64)
        """How many operations had each `Outcome`."""
        self.events = 0
        """Of operations that ended well."""
        self.attempts = self.retries = 0
        self.versioned = 0
        """Acknowledged appends with an expected version, one an operation."""
        self.seconds = Seconds(window)
        self.service = Service()
        self.unanswered = Unanswered()
        self.completions: Completions | LongCompletions
        self.dispatch_delay_ns: NarrowColumn | LongColumn
        self.queue_delay_ns: NarrowColumn | LongColumn
        self._answered_response_ns: NarrowColumn | LongColumn
        if length * (_OPEN_KEEPS if self.is_open else 1) > kept_max:
            self.completions = LongCompletions(files, open_loop=self.is_open)
            self.dispatch_delay_ns = self.completions.column("intended_ns", "dispatched_ns")
            self.queue_delay_ns = self.completions.column("dispatched_ns", "sent_ns")
            self._answered_response_ns = self.completions.column("intended_ns", ended=_ANSWERED)
        else:
            self.completions = Completions(length, open_loop=self.is_open)
            self.dispatch_delay_ns = NarrowColumn(length if self.is_open else 0)
            self.queue_delay_ns = NarrowColumn(length if self.is_open else 0)
            self._answered_response_ns = NarrowColumn(length if self.is_open else 0)

    @classmethod
    def read(
        cls, load: Load, window: Window, files: TrialFiles, *, kept_max: int = KEPT_MAX
    ) -> Self:
        """Read the samples once, block by block. The files are needed as long as this is."""
        samples = cls(load, window, files, kept_max)
        names = ["op", "outcome", "attempts", "events", "sent_ns", "done_ns", "expected"]
        names += ["intended_ns", "dispatched_ns"] if samples.is_open else []
        for group, block in enumerate(blocks(files.samples, names)):
            measured = _where(block, block["op"] >= 0)
            if len(measured["op"]):
                samples._extend(measured, group)
        pa.default_memory_pool().release_unused()
        return samples

    def _extend(self, block: Columns, group: int) -> None:
        ok = block["outcome"] == Outcome.OK
        self.ended += np.bincount(block["outcome"], minlength=len(Outcome))
        self.attempts += int(block["attempts"].sum())
        self.retries += int(np.maximum(block["attempts"] - 1, 0).sum())
        self.versioned += int(np.count_nonzero(block["expected"] != ANY))
        self.seconds.extend(block)
        self.service.extend(block)
        self.unanswered.extend(block)
        done = _where(block, ok)
        self.events += int(done["events"].sum())
        self.completions.extend(done, group)
        if self.is_open:
            self.dispatch_delay_ns.extend(done["dispatched_ns"] - done["intended_ns"])
            self.queue_delay_ns.extend(done["sent_ns"] - done["dispatched_ns"])
            answered = _where(block, np.isin(block["outcome"], _ANSWERED))
            self._answered_response_ns.extend(answered["done_ns"] - answered["intended_ns"])

    @property
    def answered_response_ns(self) -> Values | LongColumn | None:
        """Response times of what ended well or in a conflict; `None` in a closed loop."""
        return self._answered_response_ns.values if self.is_open else None


def _where(block: Columns, chosen: NDArray[np.bool_]) -> Columns:
    """The chosen rows; the block itself if all are chosen, which saves a copy."""
    return block if chosen.all() else {name: column[chosen] for name, column in block.items()}
