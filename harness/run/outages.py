"""Stretches of a trial in which operations waited and none was served.

An operation is served when the store answers it: it ends well or in a conflict. A stretch without
service lies between two successive ends of served operations (the window's bounds count as ends),
and begins no earlier than the intended start of the first operation that waits in it: a low offered
rate leaves gaps in which nobody waits, and those are no outage. A refused operation is not served,
so a full disk is one even though it answers.

Slow is not out of service. A stretch counts if

- it is at least `SHORTEST_NS` long: checkpoints and collections of garbage pause for less; and
- it is far longer than this load's operations take: of the served operations that did not wait for
  its end, at most `USUAL_SHARE` took more than a `FACTOR`-th of it. Where an append takes 200 ms,
  two seconds for one client; where a replay takes three seconds, half a minute.

A stall does not excuse itself by the operations that waited in it, however few the others are; only
where there are no others, and these were served in the end, nothing says what is long. What the
rule cannot tell apart: a client alone whose every hundredth operation takes seconds by its nature.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.domain.outcome import Outcome
from harness.load.loops import Window
from harness.load.pacing import NS_A_SECOND
from harness.load.trial_files import Columns, TrialFiles, blocks

SHORTEST_NS = NS_A_SECOND
FACTOR = 10
USUAL_SHARE = 0.05
_APART_NS = NS_A_SECOND // 10
"""Ends closer than this belong to one stretch of service."""
_SERVED = (Outcome.OK, Outcome.CONFLICT)
_UNANSWERED = (Outcome.TIMEOUT, Outcome.UNKNOWN, Outcome.UNFINISHED)
_WAITED = (*_UNANSWERED, Outcome.DROPPED)
_NEVER = np.iinfo(np.int64).max
_ROW = ("op", "outcome", "intended_ns", "sent_ns", "done_ns")

Ints = NDArray[np.int64]
Stretch = tuple[int, int]
"""From and to, ns on the trial's clock."""


@dataclass(slots=True)
class Unanswered:
    """How long operations waited that got no answer: lower bounds of the times they would take."""

    service_ns: int = 0
    response_ns: int = 0
    """In an open load also that of operations dropped at their deadline."""
    longest_ns: int = 0
    """Of those without an answer, from the intended start on."""

    def extend(self, block: Columns) -> None:
        """Take a block of measured operations."""
        outcome = block["outcome"]
        if outcome.max() <= Outcome.REFUSED:
            return
        done_ns, sent_ns = block["done_ns"], block["sent_ns"]
        unanswered, waited = np.isin(outcome, _UNANSWERED), np.isin(outcome, _WAITED)
        service_ns, waited_ns = done_ns - sent_ns, done_ns - block.get("intended_ns", sent_ns)
        self.service_ns = max(self.service_ns, int(service_ns[unanswered].max(initial=0)))
        self.response_ns = max(self.response_ns, int(waited_ns[waited].max(initial=0)))
        self.longest_ns = max(self.longest_ns, int(waited_ns[unanswered].max(initial=0)))


class Service:
    """When operations were served: stretches in which one end follows another closely."""

    def __init__(self) -> None:
        self._from: list[Ints] = []
        self._to: list[Ints] = []

    def extend(self, block: Columns) -> None:
        """Take a block of measured operations."""
        outcome, ends = block["outcome"], block["done_ns"]
        if outcome.any():
            ends = ends[np.isin(outcome, _SERVED)]
        if not len(ends):
            return
        steps = np.diff(ends)
        if len(steps) and steps.min() < 0:
            ends = np.sort(ends)
            steps = np.diff(ends)
        apart = np.flatnonzero(steps > _APART_NS)
        self._from.append(ends[np.concatenate(([0], apart + 1))])
        self._to.append(ends[np.concatenate((apart, [len(ends) - 1]))])

    def gaps(self, window: Window) -> list[Stretch]:
        """Stretches of the window of `SHORTEST_NS` and more in which no operation was served."""
        bound = np.array([window.started_ns]), np.array([window.ended_ns])
        begin = np.concatenate((*self._from, *bound))
        end = np.concatenate((*self._to, *bound))
        order = np.argsort(begin, kind="stable")
        begin, end = begin[order], np.maximum.accumulate(end[order])
        long = np.flatnonzero(begin[1:] - end[:-1] >= SHORTEST_NS)
        return list(zip(end[long].tolist(), begin[long + 1].tolist(), strict=True))


def outages(service: Service, window: Window, files: TrialFiles) -> list[Stretch]:
    """The stretches without service, by the rule of this module.

    Reads the samples again, block by block, but only in a trial with gaps.
    """
    gaps = service.gaps(window)
    waiting = _where_waiting(gaps, files) if gaps else []
    return _unusual(waiting, files) if waiting else []


def _measured(files: TrialFiles) -> Iterator[Columns]:
    for block in blocks(files.samples, _ROW):
        measured = block["op"] >= 0
        yield {name: column[measured] for name, column in block.items()}


def _where_waiting(gaps: Sequence[Stretch], files: TrialFiles) -> list[Stretch]:
    """Each gap from the first operation on that waits in it; without those that become short."""
    starts = np.array([gap[0] for gap in gaps], np.int64)
    wanted = np.full(len(gaps) + 1, _NEVER)
    for block in _measured(files):
        # An operation that ends after a gap's start waits in it, or in a later one.
        latest = np.searchsorted(starts, block["done_ns"], "left")
        np.minimum.at(wanted, latest, block["intended_ns"])
    earliest = np.minimum.accumulate(wanted[:0:-1])[::-1]
    since = np.maximum(starts, earliest)
    return [
        (int(from_ns), to_ns)
        for from_ns, (_, to_ns) in zip(since, gaps, strict=True)
        if to_ns - from_ns >= SHORTEST_NS
    ]


def _unusual(stretches: Sequence[Stretch], files: TrialFiles) -> list[Stretch]:
    """Those that are longer than operations usually take."""
    begins, ends = np.array(stretches, np.int64).T
    limits = (ends - begins) // FACTOR
    by_limit = np.argsort(limits, kind="stable")
    exceeding = np.zeros(len(limits) + 1, np.int64)
    """How many operations took longer than as many of the limits."""
    served_total = 0
    slow_others = np.zeros(len(limits), np.int64)
    served_in = np.zeros(len(limits), np.int64)
    for block in _measured(files):
        served = np.isin(block["outcome"], _SERVED)
        sent_ns, done_ns = block["sent_ns"][served], block["done_ns"][served]
        took_ns = done_ns - sent_ns
        exceeded = np.searchsorted(limits[by_limit], took_ns, "left")
        exceeding += np.bincount(exceeded, minlength=len(exceeding))
        served_total += len(took_ns)
        first = np.searchsorted(ends, sent_ns, "right")
        last = np.searchsorted(ends, done_ns, "right")
        for row in np.flatnonzero(first < last):
            waited_in = slice(first[row], last[row])
            served_in[waited_in] += 1
            slow_others[waited_in] -= limits[waited_in] < took_ns[row]
    slow_others[by_limit] += np.cumsum(exceeding[:0:-1])[::-1]
    others = served_total - served_in
    usual = (slow_others > USUAL_SHARE * others) | ((others == 0) & (served_in > 0))
    return [stretch for stretch, same in zip(stretches, usual, strict=True) if not same]
