"""The rules of places: the versions of each stream, the order of the log, reads of one stream."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.results.sorted_rows import Rows, SortedRows
from harness.verification.columns import Ints
from harness.verification.history import Found, History
from harness.verification.rules import NEVER_SENT
from harness.verification.violations import Kind, Violations


def read_again(again: Found, violations: Violations) -> None:
    """Every event is returned once."""
    violations.add_rows(Kind.DUPLICATED, again, np.arange(len(again)), "read again")


def foreign(found: Found, violations: Violations) -> None:
    """Every event has an id of this trial."""
    violations.add_rows(Kind.FOREIGN, found, found.event < 0, NEVER_SENT)


def contiguous(found: Found, violations: Violations, *, before: Found) -> None:
    """The versions of a stream are 0, 1, 2 …; `before` is the last place of the part before."""
    stream = np.concatenate((before.stream, found.stream))
    version = np.concatenate((before.version, found.version))
    expected = np.zeros(len(stream), np.int64)
    expected[1:] = np.where(stream[1:] == stream[:-1], version[:-1] + 1, 0)
    wrong = np.flatnonzero(version != expected)
    wrong = wrong[wrong >= len(before)]
    rows = wrong - len(before)
    violations.add(
        Kind.NOT_CONTIGUOUS,
        found.stream[rows],
        found.version[rows],
        found.event[rows],
        lambda i: f"expected version {expected[wrong[i]]}",
    )


def positions_increase(found: Found, violations: Violations) -> None:
    """Each event's position is greater than the one read before it."""
    violations.add_rows(
        Kind.POSITION_NOT_INCREASING,
        found,
        ~found.ascending,
        "its position is not greater than the one read before it",
    )


def disordered(found: Found, before: Found) -> Ints:
    """Streams with an event that was read before one of a lower version, or of the same."""
    stream = np.concatenate((before.stream, found.stream))
    row = np.concatenate((before.row, found.row))
    return np.unique(stream[1:][(stream[1:] == stream[:-1]) & (row[1:] < row[:-1])])


def stream_order(history: History, disordered: Ints, violations: Violations) -> None:
    """The global read never goes back in a stream."""
    with_rows = history.scratch.rows(4)
    for part in history.place_parts() if len(disordered) else ():
        found = part.found.take(np.isin(part.found.stream, disordered))
        with_rows.add(found.stream, found.row, found.version, found.event)
    for back in steps_back(with_rows):
        stream, _, version, event = back.T
        why = "the global read returns it after a later version of its stream"
        violations.add(Kind.INVERTED, stream, version, event, why)


def steps_back(rows: SortedRows) -> Iterator[Rows]:
    """Rows whose third column is lower than that of the row before with the same first one."""
    before = np.empty((0, 4), np.int64)
    for part in rows.all():
        both = np.concatenate((before, part))
        same = both[1:, 0] == both[:-1, 0]
        yield both[1:][same & (both[1:, 2] < both[:-1, 2])]
        before = both[-1:]


def streams_agree(history: History, landed: SortedRows, violations: Violations) -> None:
    """Each stream read by itself has the same events as in the global read, but for `landed`."""
    place = {stream: number for number, stream in enumerate(history.streams_read)}
    alone = _StreamByStream(history.read_alone(landed))
    within = _StreamByStream(_within(history))
    for stream in sorted(place):
        counts, differing = _first_difference(stream, alone, within)
        if differing is None:
            continue
        _, _, version, event, _ = differing[:, None]
        violations.add(
            Kind.STREAM_READ_DIFFERS,
            np.array([stream]),
            version,
            event,
            f"the first difference; the stream read gives {counts[0]} events, "
            f"the global read {counts[1]}",
            rank=(0, np.array([place[stream]])),
        )


def _within(history: History) -> Iterator[Rows]:
    """What the global read returned of the streams that were also read alone."""
    if not history.streams_read:
        return
    for part in history.place_parts():
        found = part.found.take(np.isin(part.found.stream, history.streams_read))
        yield np.column_stack(
            (found.stream, found.stream, found.version, found.event, found.intact)
        )


class _StreamByStream:
    """Rows that are sorted by their first column, for one stream after the other."""

    def __init__(self, parts: Iterator[Rows]) -> None:
        self._parts = parts
        self._part = np.empty((0, 5), np.int64)
        self._streams = self._part[:, 0]

    def of(self, stream: int) -> Iterator[Rows]:
        """A stream's rows, in pieces."""
        while True:
            start, stop = np.searchsorted(self._streams, (stream, stream + 1))
            if start < stop:
                yield self._part[start:stop]
            if stop < len(self._streams):
                return
            part = next(self._parts, None)
            if part is None:
                self._streams = self._streams[:0]
                return
            self._part, self._streams = part, np.ascontiguousarray(part[:, 0])


def _first_difference(
    stream: int, alone: _StreamByStream, within: _StreamByStream
) -> tuple[list[int], Ints | None]:
    """How many rows there are on either side, and the first that differs."""
    sides = alone.of(stream), within.of(stream)
    rests = [np.empty((0, 5), np.int64)] * 2
    counts, differing = [0, 0], None
    while True:
        rests = [
            rest if len(rest) else next(side, rest) for rest, side in zip(rests, sides, strict=True)
        ]
        both = min(map(len, rests))
        if not both:
            break
        if differing is None:
            differs = (rests[0][:both] != rests[1][:both]).any(axis=1)
            differing = rests[1][np.argmax(differs)] if differs.any() else None
        counts = [count + both for count in counts]
        rests = [rest[both:] for rest in rests]
    for number, rest in enumerate(rests):
        if len(rest) and differing is None:
            differing = rest[0]
        counts[number] += len(rest) + sum(map(len, sides[number]))
    return counts, differing
