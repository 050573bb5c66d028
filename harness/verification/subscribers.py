"""The rules of subscribers: each received every event once, in the order of its stream."""

from __future__ import annotations

import numpy as np

from harness.results.sorted_rows import Scratch
from harness.verification.columns import Flags, Ints
from harness.verification.history import Found, Received
from harness.verification.places import steps_back
from harness.verification.violations import Detail, Kind, Violations

_SUBSCRIBER_SHIFT = 40
"""A subscriber and one of its streams in one number that sorts by both."""


class Subscribers:
    """Judges deliveries part by part; what needs all of them waits for the `rest`."""

    def __init__(self, numbers: list[int], scratch: Scratch, *, total_order: bool) -> None:
        self._numbers, self._total_order = numbers, total_order
        self._reached = dict.fromkeys(numbers, -1)
        """The last row of the log that each received."""
        self._unknown = scratch.rows(5)
        """Subscriber, row, stream, version, event: of unknown outcome, and never received."""
        self._once = scratch.rows(4)
        """Subscriber and stream, number of the delivery, version, event: without repeats."""

    def judge(
        self,
        log: Found,
        unknown: Flags,
        received: Received,
        rows: Ints,
        violations: Violations,
    ) -> None:
        """Judge a part of the log, with all that was received of it.

        `unknown` tells which events are of unknown outcome; `rows` where each delivery's event
        is in the log, or -1.
        """
        for subscriber in self._numbers:
            own = np.flatnonzero(received.subscriber == subscriber)
            _unwritten(subscriber, received, own[rows[own] < 0], violations)
            own = own[rows[own] >= 0]
            self._skipped(subscriber, log, unknown, rows[own], violations)
            self._repeats(subscriber, log, received, own, rows[own], violations)

    def rest(self, violations: Violations) -> None:
        """Judge what needs all parts: where each one stopped, and the order."""
        for rows in self._unknown.all():
            reached = np.array([self._reached[each] for each in rows[:, 0].tolist()], np.int64)
            who, row, stream, version, event = rows[rows[:, 1] <= reached].T
            never = _said_of(who, "never received it")
            violations.add(Kind.SKIPPED, stream, version, event, never, rank=(who, row))
        passed = 0
        for back in steps_back(self._once):
            of, _, version, event = back.T
            who = of >> _SUBSCRIBER_SHIFT
            violations.add(
                Kind.DELIVERED_OUT_OF_ORDER,
                of & ((1 << _SUBSCRIBER_SHIFT) - 1),
                version,
                event,
                _said_of(who, "received a later version of its stream before it"),
                rank=(who, np.arange(passed, passed + len(back))),
            )
            passed += len(back)

    def _skipped(
        self, subscriber: int, log: Found, unknown: Flags, received: Ints, violations: Violations
    ) -> None:
        """Events of unknown outcome may have been written after the subscriber had stopped.

        Not so where the subscriber received something after them in a total order.
        """
        missing = np.ones(len(log), np.bool_)
        missing[received] = False
        violations.add_rows(
            Kind.SKIPPED,
            log,
            missing & ~unknown,
            f"subscriber {subscriber} never received it",
            group=subscriber,
        )
        if self._total_order:
            late = log.take(missing & unknown)
            who = np.full(len(late), subscriber)
            self._unknown.add(who, late.row, late.stream, late.version, late.event)
            reached = int(log.row[received].max(initial=-1))
            self._reached[subscriber] = max(self._reached[subscriber], reached)

    def _repeats(
        self,
        subscriber: int,
        log: Found,
        received: Received,
        own: Ints,
        rows: Ints,
        violations: Violations,
    ) -> None:
        first = np.zeros(len(rows), np.bool_)
        first[np.unique(rows, return_index=True)[1]] = True
        again = rows[~first]
        violations.add(
            Kind.DELIVERED_TWICE,
            log.stream[again],
            log.version[again],
            log.event[again],
            f"subscriber {subscriber} received it again",
            rank=(subscriber, received.row[own[~first]]),
        )
        once = log.take(rows[first])
        of = (subscriber << _SUBSCRIBER_SHIFT) + once.stream
        self._once.add(of, received.row[own[first]], once.version, once.event)


def _said_of(subscriber: Ints, what: str) -> Detail:
    return lambda i: f"subscriber {subscriber[i]} {what}"


def _unwritten(subscriber: int, received: Received, chosen: Ints, violations: Violations) -> None:
    violations.add(
        Kind.DELIVERED_UNWRITTEN,
        received.stream[chosen],
        received.version[chosen],
        received.event[chosen],
        f"subscriber {subscriber} received it, but the log does not have it there",
        rank=(subscriber, received.row[chosen]),
    )
