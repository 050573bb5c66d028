"""A trial too long for its times to be kept in memory: they are counted, and read again.

Percentiles stay those of all values. A first look counts the times by size, as HdrHistogram does;
a second one counts every value of the few buckets in which the percentiles lie. So a percentile is
a value that occurred if it is below 2.1 s, and within a billionth of one above.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from harness.analysis.percentiles import values_of
from harness.domain.outcome import Outcome
from harness.load.trial_files import Columns, TrialFiles
from harness.results import hlog

Ints = NDArray[np.int64]

_FINE_BITS = 20
_GROUPS_KEPT = 48
"""Row groups in memory, 1 MiB each: those that overlap a second, one or two a worker process."""
_EVER = np.iinfo(np.int64)


class LongColumn:
    """Times by their number; a negative one, of a clock that is early, counts as 0.

    `again` yields all of them once more, in blocks.
    """

    def __init__(self, since: str, again: Callable[[], Iterator[Ints]]) -> None:
        self.since = since
        """The column of the samples from which the times run."""
        self._again = again
        self._counts = np.zeros(hlog.BUCKETS, np.int64)
        self._longest_ns = 0

    def __len__(self) -> int:
        return int(self._counts.sum())

    @property
    def values(self) -> LongColumn:
        """Itself: there is no array of them."""
        return self

    @property
    def longest_ns(self) -> int:
        """The largest of them; 0 of none."""
        return self._longest_ns

    def extend(self, values_ns: Ints) -> None:
        """Count a block."""
        values_ns = values_ns.clip(0)
        self._counts += hlog.counts(values_ns)
        self._longest_ns = max(self._longest_ns, int(values_ns.max(initial=0)))

    def percentiles(self, wanted: Sequence[float], *, unanswered: int = 0) -> list[float | None]:
        """As `analysis.percentiles.percentiles` has them."""
        return values_of(len(self), wanted, self.of_ranks, unanswered)

    def of_ranks(self, ranks: Sequence[int]) -> list[float]:
        """The values at these places of their order, from 0."""
        below = np.cumsum(self._counts)
        buckets = np.searchsorted(below, ranks, "right").tolist()
        fine = {bucket: _Fine(bucket) for bucket in buckets}
        for values_ns in self._again() if fine else ():
            for each in fine.values():
                each.extend(values_ns)
        before = [int(below[bucket] - self._counts[bucket]) for bucket in buckets]
        return [
            fine[bucket].of_rank(rank - less)
            for bucket, rank, less in zip(buckets, ranks, before, strict=True)
        ]


class _Fine:
    """The values of one bucket of a histogram, counted one by one."""

    def __init__(self, bucket: int) -> None:
        self._lowest, width = hlog.bounds(bucket)
        self._beyond = self._lowest + width
        self._shift = max(0, width.bit_length() - 1 - _FINE_BITS)
        self._counts = np.zeros(width >> self._shift, np.int64)

    def extend(self, values_ns: Ints) -> None:
        inside = values_ns[(values_ns >= self._lowest) & (values_ns < self._beyond)]
        np.add.at(self._counts, (inside - self._lowest) >> self._shift, 1)

    def of_rank(self, rank: int) -> float:
        place = int(np.searchsorted(np.cumsum(self._counts), rank, "right"))
        return float(self._lowest + (place << self._shift))


class _Samples:
    """The samples' file, of which a row group is read again where it is needed."""

    def __init__(self, files: TrialFiles) -> None:
        self._file = pq.ParquetFile(files.samples)

    def times(self, since: str, until: str, ended: Sequence[Outcome]) -> Iterator[Ints]:
        """Times between two columns of the operations with these outcomes, group by group."""
        for group in range(self._file.num_row_groups):
            found = self.ended(group, ended, since, until)
            yield (found[until] - found[since]).clip(0)

    def ended(self, group: int, ended: Sequence[Outcome], *names: str) -> dict[str, NDArray[Any]]:
        """Columns of the measured operations of a group that have these outcomes."""
        table = self._file.read_row_group(group, columns=["op", "outcome", *names])
        columns = {name: table[name].to_numpy() for name in table.column_names}
        chosen = (columns["op"] >= 0) & np.isin(columns["outcome"], ended)
        return {name: columns[name][chosen] for name in names}


class LongCompletions:
    """`Completions` of a long trial: the samples' file keeps when each ended, and what it took."""

    def __init__(self, files: TrialFiles, *, open_loop: bool) -> None:
        self._samples = _Samples(files)
        self._groups: list[int] = []
        self._first_ns: list[int] = []
        self._last_ns: list[int] = []
        self._counts: list[int] = []
        self._kept: OrderedDict[tuple[int, str], tuple[Ints, Ints]] = OrderedDict()
        self.service_ns = self.column("sent_ns")
        self.response_ns = self.column("intended_ns") if open_loop else None

    def column(
        self, since: str, until: str = "done_ns", ended: Sequence[Outcome] = (Outcome.OK,)
    ) -> LongColumn:
        """Times between two columns of the operations with these outcomes.

        It knows the file and not this object: what is kept here is free as soon as this is.
        """
        return LongColumn(since, partial(self._samples.times, since, until, ended))

    @property
    def count(self) -> int:
        """Operations so far."""
        return sum(self._counts)

    @property
    def last_ns(self) -> int:
        """When the last of them ended."""
        return max(self._last_ns)

    def extend(self, block: Columns, group: int) -> None:
        """Add operations that ended well, of one row group."""
        done_ns = block["done_ns"]
        if not len(done_ns):
            return
        self.service_ns.extend(done_ns - block["sent_ns"])
        if self.response_ns is not None:
            self.response_ns.extend(done_ns - block["intended_ns"])
        self._groups.append(group)
        self._first_ns.append(int(done_ns.min()))
        self._last_ns.append(int(done_ns.max()))
        self._counts.append(len(done_ns))

    def split(self, edges_ns: Sequence[int], column: object) -> Iterator[Ints]:
        """The column's values by the time of the end, as `Completions.split` yields them."""
        assert isinstance(column, LongColumn), "a column of this trial"
        firsts, lasts = np.array(self._first_ns, np.int64), np.array(self._last_ns, np.int64)
        for from_ns, to_ns in pairwise([_EVER.min, *edges_ns, _EVER.max]):
            parts = [np.empty(0, np.int64)]
            for number in np.flatnonzero((firsts < to_ns) & (lasts >= from_ns)).tolist():
                done_ns, took_ns = self._group(self._groups[number], column.since)
                parts.append(took_ns[(done_ns >= from_ns) & (done_ns < to_ns)])
            yield np.concatenate(parts)

    def counts(self, edges_ns: Sequence[int]) -> list[int]:
        """How many ended between the edges. Only groups across an edge are read again."""
        edges = np.array(edges_ns, np.int64)
        found = np.zeros(len(edges) + 1, np.int64)
        groups = zip(self._groups, self._first_ns, self._last_ns, self._counts, strict=True)
        for group, first_ns, last_ns, count in groups:
            from_, to = np.searchsorted(edges, (first_ns, last_ns), "right")
            if from_ == to:
                found[from_] += count
            else:
                done_ns = self._samples.ended(group, (Outcome.OK,), "done_ns")["done_ns"]
                place = np.searchsorted(edges, done_ns, "right")
                found += np.bincount(place, minlength=len(found))
        counted: list[int] = found.tolist()
        return counted

    def _group(self, group: int, since: str) -> tuple[Ints, Ints]:
        place = group, since
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        found = self._samples.ended(group, (Outcome.OK,), since, "done_ns")
        self._kept[place] = found["done_ns"], found["done_ns"] - found[since]
        while len(self._kept) > _GROUPS_KEPT:
            self._kept.popitem(last=False)
        return self._kept[place]
