"""How stale reads were: they began after an append was acknowledged, and do not show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.percentiles import values_at
from harness.results.sorted_rows import LOWEST, Rows, Scratch, even_cuts
from harness.verification.columns import Flags, Ints
from harness.verification.violations import Kind, Staleness, Violations

_NS_A_MS = 1e6
_P99 = 99
_BEYOND_MIN = 10
"""Stale reads beyond a percentile, below which there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadReads:
    """Reads of a stream's end: when each began, and the newest version that it showed, or -1."""

    op: Ints
    stream: Ints
    began_ns: Ints
    version: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Acknowledgements:
    """Acknowledged appends: the version and event of each one's last event, and when it was known.

    `at_ns` is no earlier than the answer came.
    """

    stream: Ints
    version: Ints
    event: Ints
    at_ns: Ints


@dataclass(frozen=True, slots=True)
class Readings:
    """What reads are judged by; each is taken once, in blocks."""

    reads: Iterable[HeadReads]
    acknowledged: Iterable[Acknowledgements]


def judge_reads(readings: Readings, scratch: Scratch, violations: Violations) -> Staleness | None:
    """Count stale reads as violations. What was lost is not missed: its loss is counted apart.

    `None` where there was no read, and where more was lost than is known by name.
    """
    if violations.counts.get(Kind.LOST, 0) > len(violations.lost_events):
        return None
    reads, acknowledged = scratch.rows(4), scratch.rows(4)
    for block in readings.reads:
        reads.add(block.stream, block.began_ns, block.version, block.op)
    count = len(reads)
    if not count:
        return None
    for known in _kept(readings.acknowledged, violations.lost_events):
        acknowledged.add(known.stream, known.version, known.at_ns, known.event)
    streams = np.unique([cut[0] for cut in even_cuts(reads, acknowledged)])
    cuts = [(stream, LOWEST) for stream in streams.tolist()]
    parts = zip(reads.parts(cuts), acknowledged.parts(cuts), strict=True)
    late_ns = np.concatenate([_judged(*each, violations) for each in parts])
    enough = len(late_ns) * (100 - _P99) >= 100 * _BEYOND_MIN
    return Staleness(
        reads=count,
        stale=len(late_ns),
        p99_ns=values_at(late_ns, (_P99,))[0] if enough else None,
        max_ns=int(late_ns.max()) if len(late_ns) else None,
    )


def _kept(blocks: Iterable[Acknowledgements], lost: Sequence[int]) -> Iterator[Acknowledgements]:
    gone = np.array(lost, np.int64)
    for block in blocks:
        rows: Flags = (block.version >= 0) & ~np.isin(block.event, gone)
        yield Acknowledgements(
            block.stream[rows], block.version[rows], block.event[rows], block.at_ns[rows]
        )


def _judged(reads: Rows, acknowledged: Rows, violations: Violations) -> Ints:
    """Of whole streams, for how long what each stale read misses had been acknowledged."""
    if not len(reads) or not len(acknowledged):
        return np.empty(0, np.int64)
    # From the newest version of each stream down: what a read misses is then a beginning.
    order = np.lexsort((-acknowledged[:, 1], acknowledged[:, 0]))
    stream, version, at_ns, event = acknowledged[order].T
    names, start, group = np.unique(stream, return_index=True, return_inverse=True)
    earliest = _earliest_so_far(group, at_ns)
    newest = int(version.max())
    key = group * (newest + 2) + newest - version
    of = np.clip(np.searchsorted(names, reads[:, 0]), 0, len(names) - 1)
    shown = np.minimum(reads[:, 2], newest)
    last = np.searchsorted(key, of * (newest + 2) + newest - shown) - 1
    known = (names[of] == reads[:, 0]) & (last >= start[of])
    missed = earliest[np.where(known, last, 0)]
    late_ns = reads[:, 1] - at_ns[missed]
    stale = np.flatnonzero(known & (late_ns > 0))
    missed, late_ns, seen = missed[stale], late_ns[stale], reads[stale]
    violations.add(
        Kind.STALE_READ,
        stream[missed],
        version[missed],
        event[missed],
        lambda i: (
            f"operation {seen[i, 3]} read its stream up to {_up_to(int(seen[i, 2]))},"
            f" {late_ns[i] / _NS_A_MS:.3g} ms after this was acknowledged"
        ),
    )
    return np.asarray(late_ns)


def _earliest_so_far(group: Ints, at_ns: Ints) -> Ints:
    """The row of the earliest acknowledgement of its group, up to each row."""
    since = at_ns - at_ns.min()
    # Each group lies below the one before it, so that a running minimum begins anew there.
    shifted = since - group * (int(since.max()) + 1)
    lowest = np.minimum.accumulate(shifted)
    rows = np.where(shifted == lowest, np.arange(len(at_ns)), 0)
    return np.asarray(np.maximum.accumulate(rows))


def _up_to(version: int) -> str:
    return f"version {version}" if version >= 0 else "nothing"
