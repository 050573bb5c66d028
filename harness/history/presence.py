"""Checks of presence: everything acknowledged is there once, intact, and nothing else is."""

from __future__ import annotations

import numpy as np

from harness.history.columns import Ints, Log
from harness.history.evidence import Evidence
from harness.history.findings import Detail, Findings
from harness.history.ledger import Standing
from harness.history.violations import Kind
from harness.outcome import Outcome


def lost(evidence: Evidence, findings: Findings) -> None:
    """Every acknowledged event is in the log."""
    ledger, appends = evidence.ledger, evidence.appends
    missing = np.flatnonzero((ledger.standing == Standing.ACKNOWLEDGED) & (evidence.row < 0))
    append = ledger.append[missing]
    findings.add(
        Kind.LOST,
        appends.stream[append],
        evidence.told_version(missing),
        ledger.event[missing],
        lambda i: f"acknowledged (operation {appends.op[append[i]]}), not in the log",
    )


def duplicated(evidence: Evidence, findings: Findings) -> None:
    """Every event is in the log once; copies of a retried one are a kind of their own."""
    log, again = evidence.log, evidence.again
    findings.add_rows(Kind.DUPLICATED, again, np.arange(len(again)), "read again")
    known = np.flatnonzero(evidence.sent >= 0)
    copies = known[evidence.row[evidence.sent[known]] != known]
    retried = evidence.ledger.writers[evidence.sent[copies]] > 1
    for kind, rows in (
        (Kind.DUPLICATED, copies[~retried]),
        (Kind.RETRY_DUPLICATED, copies[retried]),
    ):
        first = evidence.row[evidence.sent[rows]]
        findings.add_rows(kind, log, rows, _also_at(log, first))


def unexpected(evidence: Evidence, findings: Findings) -> None:
    """Nothing is in the log that nobody sent, or whose append was answered with a no."""
    log, ledger, appends = evidence.log, evidence.ledger, evidence.appends
    nobody = evidence.sent < 0
    findings.add_rows(Kind.FOREIGN, log, nobody, "nobody sent an event with this id")
    known = np.flatnonzero(~nobody)
    refused = known[ledger.standing[evidence.sent[known]] == Standing.REFUSED]
    outcome = appends.outcome[ledger.append[evidence.sent[refused]]]
    findings.add_rows(
        Kind.WRITTEN_THOUGH_REFUSED,
        log,
        refused,
        lambda i: f"its append was answered {Outcome(outcome[i]).name}",
    )


def altered(evidence: Evidence, findings: Findings) -> None:
    """The payload of every event came back as written."""
    changed = ~evidence.log.intact & (evidence.sent >= 0)
    findings.add_rows(
        Kind.ALTERED, evidence.log, changed, "the payload is not the one that was written"
    )


def unknown_resolved(evidence: Evidence, findings: Findings) -> tuple[int, int]:
    """Appends of unknown outcome are there whole or not at all; how many of each."""
    ledger = evidence.ledger
    unknown = np.flatnonzero(ledger.standing == Standing.UNKNOWN)
    there = evidence.row[unknown] >= 0
    _, append = np.unique(ledger.append[unknown], return_inverse=True)
    sent = np.bincount(append)
    present = np.bincount(append[there], minlength=len(sent))
    torn = np.flatnonzero((present > 0) & (present < sent))
    parts, first = np.unique(append[there], return_index=True)
    rows = evidence.row[unknown[there][first[np.isin(parts, torn)]]]
    findings.add_rows(
        Kind.TORN,
        evidence.log,
        rows,
        lambda i: f"outcome unknown, {present[torn[i]]} of {sent[torn[i]]} events are there",
    )
    return int((present == sent).sum()), int((present == 0).sum())


def _also_at(log: Log, row: Ints) -> Detail:
    return lambda i: (
        f"also at version {log.version[row[i]]} of {log.names.get(int(log.stream[row[i]]))!r}"
    )
