"""Checks of subscribers: each was handed everything once and in the order of the streams."""

from __future__ import annotations

import numpy as np

from harness.history.columns import Deliveries, Ints
from harness.history.evidence import Evidence, steps_back
from harness.history.findings import Findings
from harness.history.ledger import Standing
from harness.history.violations import Kind


def deliveries_checked(
    evidence: Evidence, deliveries: Deliveries, findings: Findings, *, total_order: bool
) -> None:
    """Hold each subscriber's deliveries against the log."""
    rows = evidence.find(deliveries.stream, deliveries.version, deliveries.event)
    for subscriber in deliveries.numbers():
        own = np.flatnonzero(deliveries.subscriber == subscriber)
        _unwritten(deliveries, own[rows[own] < 0], findings)
        handed = rows[own][rows[own] >= 0]
        _skipped(evidence, subscriber, handed, findings, total_order=total_order)
        _order_and_repeats(evidence, subscriber, handed, findings)


def _unwritten(deliveries: Deliveries, chosen: Ints, findings: Findings) -> None:
    subscriber = deliveries.subscriber[chosen]
    findings.add(
        Kind.DELIVERED_UNWRITTEN,
        deliveries.stream[chosen],
        deliveries.version[chosen],
        deliveries.event[chosen],
        lambda i: f"subscriber {subscriber[i]} was handed it, the log has it not at that place",
    )


def _skipped(
    evidence: Evidence, subscriber: int, handed: Ints, findings: Findings, *, total_order: bool
) -> None:
    missing = np.ones(len(evidence.log), np.bool_)
    missing[handed] = False
    rows = np.flatnonzero(missing)
    findings.add_rows(
        Kind.SKIPPED,
        evidence.log,
        rows[~_may_have_come_later(evidence, rows, handed, total_order=total_order)],
        f"subscriber {subscriber} was never handed it",
    )


def _may_have_come_later(
    evidence: Evidence, rows: Ints, handed: Ints, *, total_order: bool
) -> np.ndarray:
    """Events of unknown outcome may have been written after the subscriber had stopped.

    Not so where it was handed something that stands behind them in a total order.
    """
    sent = evidence.sent[rows]
    unknown = np.zeros(len(rows), np.bool_)
    unknown[sent >= 0] = evidence.ledger.standing[sent[sent >= 0]] == Standing.UNKNOWN
    reached = int(handed.max()) if total_order and len(handed) else -1
    return unknown & (rows > reached)


def _order_and_repeats(
    evidence: Evidence, subscriber: int, handed: Ints, findings: Findings
) -> None:
    log = evidence.log
    first = np.zeros(len(handed), np.bool_)
    first[np.unique(handed, return_index=True)[1]] = True
    findings.add_rows(
        Kind.DELIVERED_TWICE, log, handed[~first], f"subscriber {subscriber} was handed it again"
    )
    once = handed[first]
    back = steps_back(log.stream[once], log.version[once])
    findings.add_rows(
        Kind.DELIVERED_OUT_OF_ORDER,
        log,
        once[back],
        f"subscriber {subscriber} was handed a later version of its stream before it",
    )
