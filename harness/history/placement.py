"""Checks of placement: versions without gaps, batches whole, events where they were promised."""

from __future__ import annotations

import numpy as np

from harness.history.columns import ANY, EXISTS, NO_STREAM, Flags, Ints
from harness.history.evidence import Evidence
from harness.history.findings import Findings
from harness.history.ledger import Standing, standing_of
from harness.history.violations import Kind
from harness.outcome import Outcome

_STATES = {
    ANY: "ANY",
    NO_STREAM: "NO_STREAM",
    EXISTS: "EXISTS",
}


def contiguous(evidence: Evidence, findings: Findings) -> None:
    """The versions of a stream are 0, 1, 2 …"""
    log, rows = evidence.log, evidence.by_place
    stream, version = log.stream[rows], log.version[rows]
    due = np.zeros(len(rows), np.int64)
    due[1:] = np.where(stream[1:] == stream[:-1], version[:-1] + 1, 0)
    wrong = np.flatnonzero(version != due)
    findings.add_rows(
        Kind.NOT_CONTIGUOUS,
        log,
        rows[wrong],
        lambda i: f"version {due[wrong[i]]} was due",
    )


def whole_batches(evidence: Evidence, findings: Findings) -> None:
    """The events of one append are at consecutive versions in their order."""
    log, append, row = evidence.log, evidence.ledger.append, evidence.row
    both = np.flatnonzero((append[1:] == append[:-1]) & (row[1:] >= 0) & (row[:-1] >= 0)) + 1
    before, after = row[both - 1], row[both]
    broken = (log.stream[before] != log.stream[after]) | (
        log.version[after] != log.version[before] + 1
    )
    _, first = np.unique(append[both[broken]], return_index=True)
    before, after = before[broken][first], after[broken][first]
    findings.add_rows(
        Kind.BATCH_BROKEN,
        log,
        after,
        lambda i: (
            f"the event before it in its append is at version {log.version[before[i]]} "
            f"of {log.names.get(int(log.stream[before[i]]))!r}"
        ),
    )


def acknowledged_places(evidence: Evidence, findings: Findings) -> None:
    """The last event of every append is where its acknowledgement said."""
    appends, log = evidence.appends, evidence.log
    told = (appends.outcome == Outcome.OK) & (appends.version >= 0) & (appends.count > 0)
    rows = np.flatnonzero(told)
    last = appends.first[rows] + appends.count[rows] - 1
    elsewhere = evidence.find(appends.stream[rows], appends.version[rows], last) < 0
    actual = evidence.first_row(last[elsewhere])
    misplaced = rows[elsewhere][actual >= 0]  # the others are lost
    actual = actual[actual >= 0]
    findings.add_rows(
        Kind.MISPLACED,
        log,
        actual,
        lambda i: (
            f"acknowledged at version {appends.version[misplaced[i]]} "
            f"of {log.names.get(int(appends.stream[misplaced[i]]))!r}"
        ),
    )


def expected_versions(evidence: Evidence, findings: Findings) -> None:
    """What an append expected of its stream held where it was written.

    Attempts with the same ids are one append: it is enough that one of them expected
    what was there, since a retry is answered with the first one's result.
    """
    appends = evidence.appends
    attempts, version = _first_versions(evidence)
    expected = appends.expected[attempts]
    holds = _holds(expected, version)
    first = appends.first[attempts]
    ignored = np.flatnonzero(~holds)
    ignored = ignored[~np.isin(first[ignored], first[holds])]
    ignored = ignored[np.unique(first[ignored], return_index=True)[1]]
    findings.add(
        Kind.EXPECTED_VERSION_IGNORED,
        appends.stream[attempts[ignored]],
        version[ignored],
        first[ignored],
        lambda i: f"its append expected {_spelt(int(expected[ignored[i]]))}",
    )


def _first_versions(evidence: Evidence) -> tuple[Ints, Ints]:
    """Attempts that wrote, and the version of their first event: as read, else as told."""
    appends = evidence.appends
    may = (standing_of(appends.outcome) >= Standing.UNKNOWN) & (appends.count > 0)
    attempts = np.flatnonzero(may)
    sent = evidence.ledger.find(appends.first[attempts])
    version, row = evidence.told_version(sent), evidence.row[sent]
    version[row >= 0] = evidence.log.version[row[row >= 0]]
    known = version >= 0
    return attempts[known], version[known]


def _holds(expected: Ints, first_version: Ints) -> Flags:
    return np.select(
        [expected == ANY, expected == NO_STREAM, expected == EXISTS],
        [np.full(len(expected), fill_value=True), first_version == 0, first_version > 0],
        first_version == expected + 1,
    )


def _spelt(expected: int) -> str:
    return _STATES.get(expected, f"version {expected}")
