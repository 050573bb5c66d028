"""The rules of events: each compares what was sent with what came back, a range at a time."""

from __future__ import annotations

import numpy as np

from harness.domain.expected_version import ANY, EXISTS, NO_STREAM, from_code, spelled
from harness.domain.outcome import Outcome
from harness.verification.columns import Flags, Ints
from harness.verification.evidence import Evidence, Standing, standing_of
from harness.verification.history import Found
from harness.verification.violations import Detail, Kind, Violations

COPIES = 1
"""The rank of copies of an event among what is duplicated: after what was read again."""
NEVER_SENT = "no append sent an event with this id"


def lost(evidence: Evidence, violations: Violations) -> None:
    """Every acknowledged event is in the log."""
    ledger, appends = evidence.ledger, evidence.appends
    missing = np.flatnonzero((ledger.standing == Standing.ACKNOWLEDGED) & (evidence.row < 0))
    append = ledger.append[missing]
    violations.add(
        Kind.LOST,
        appends.stream[append],
        evidence.acknowledged_version(missing),
        ledger.event[missing],
        lambda i: (
            f"{_known_by(int(appends.outcome[append[i]]))} (operation {appends.op[append[i]]}), "
            "not in the log"
        ),
        rank=(0, ledger.event[missing]),
    )


def _known_by(outcome: int) -> str:
    return "found by reading" if outcome == Outcome.FOUND else "acknowledged"


def duplicated(evidence: Evidence, violations: Violations) -> None:
    """Every event is at one place; copies of a retried one are a kind of their own."""
    log = evidence.log
    known = np.flatnonzero(evidence.sent >= 0)
    copies = known[evidence.row[evidence.sent[known]] != known]
    retried = evidence.ledger.writers[evidence.sent[copies]] > 1
    for kind, rows in (
        (Kind.DUPLICATED, copies[~retried]),
        (Kind.RETRY_DUPLICATED, copies[retried]),
    ):
        first = evidence.row[evidence.sent[rows]]
        violations.add_rows(kind, log, rows, _also_at(log, first, violations), group=COPIES)


def unexpected(evidence: Evidence, violations: Violations) -> None:
    """Every event in the log was sent, and its append was not refused."""
    log, ledger, appends = evidence.log, evidence.ledger, evidence.appends
    foreign = evidence.sent < 0
    violations.add_rows(Kind.FOREIGN, log, foreign, NEVER_SENT)
    known = np.flatnonzero(~foreign)
    refused = known[ledger.standing[evidence.sent[known]] == Standing.REFUSED]
    outcome = appends.outcome[ledger.append[evidence.sent[refused]]]
    violations.add_rows(
        Kind.WRITTEN_THOUGH_REFUSED,
        log,
        refused,
        lambda i: f"its append ended with {Outcome(outcome[i]).name}",
    )


def refused_though_written(evidence: Evidence) -> int:
    """How many appends have an unknown outcome, are in the log, and met a conflict when retried.

    The retry was answered with a conflict, and what it met was the same client's first try.
    """
    appends, ledger = evidence.appends, evidence.ledger
    tried = np.flatnonzero((appends.outcome == Outcome.CONFLICT) & (appends.count > 0))
    sent = ledger.find(appends.first[tried])
    unresolved = (ledger.standing[sent] == Standing.UNKNOWN) & (evidence.row[sent] >= 0)
    return len(np.unique(ledger.append[sent[unresolved]]))


def altered(evidence: Evidence, violations: Violations) -> None:
    """The payload of every event came back as written."""
    changed = ~evidence.log.intact & (evidence.sent >= 0)
    violations.add_rows(
        Kind.ALTERED, evidence.log, changed, "the payload is not the one that was written"
    )


def unknown_resolved(evidence: Evidence, violations: Violations) -> tuple[int, int]:
    """Appends of unknown outcome are there whole or not at all; how many of each."""
    ledger = evidence.ledger
    unknown = np.flatnonzero(ledger.standing == Standing.UNKNOWN)
    there = evidence.row[unknown] >= 0
    appends, append = np.unique(ledger.append[unknown], return_inverse=True)
    sent = np.bincount(append)
    present = np.bincount(append[there], minlength=len(sent))
    torn = np.flatnonzero((present > 0) & (present < sent))
    parts, first = np.unique(append[there], return_index=True)
    rows = evidence.row[unknown[there][first[np.isin(parts, torn)]]]
    _add_appends(
        violations,
        Kind.TORN,
        evidence,
        rows,
        appends[torn],
        lambda i: f"outcome unknown, {present[torn[i]]} of {sent[torn[i]]} events are there",
    )
    return int((present == sent).sum()), int((present == 0).sum())


def _also_at(log: Found, row: Ints, violations: Violations) -> Detail:
    return lambda i: (
        f"also at version {log.version[row[i]]} of {violations.name_of(int(log.stream[row[i]]))!r}"
    )


def _add_appends(
    violations: Violations,
    kind: Kind,
    evidence: Evidence,
    rows: Ints,
    appends: Ints,
    detail: Detail,
) -> None:
    """One violation an append, in the order in which they were given, at a row of the log."""
    log, rank = evidence.log, evidence.appends.row[appends]
    violations.add(
        kind, log.stream[rows], log.version[rows], log.event[rows], detail, rank=(0, rank)
    )


def whole_batches(evidence: Evidence, violations: Violations) -> None:
    """The events of one append are at consecutive versions in their order."""
    log, append, row = evidence.log, evidence.ledger.append, evidence.row
    both = np.flatnonzero((append[1:] == append[:-1]) & (row[1:] >= 0) & (row[:-1] >= 0)) + 1
    before, after = row[both - 1], row[both]
    broken = (log.stream[before] != log.stream[after]) | (
        log.version[after] != log.version[before] + 1
    )
    appends, first = np.unique(append[both[broken]], return_index=True)
    before, after = before[broken][first], after[broken][first]
    _add_appends(
        violations,
        Kind.BATCH_BROKEN,
        evidence,
        after,
        appends,
        lambda i: (
            f"the event before it in its append is at version {log.version[before[i]]} "
            f"of {violations.name_of(int(log.stream[before[i]]))!r}"
        ),
    )


def acknowledged_places(evidence: Evidence, violations: Violations) -> None:
    """The last event of every append is at its acknowledged place."""
    appends = evidence.appends
    placed = np.isin(appends.outcome, (Outcome.OK, Outcome.FOUND))
    rows = np.flatnonzero(placed & (appends.version >= 0) & (appends.count > 0))
    last = appends.first[rows] + appends.count[rows] - 1
    elsewhere = evidence.find(appends.stream[rows], appends.version[rows], last) < 0
    actual = evidence.first_row(last[elsewhere])
    misplaced = rows[elsewhere][actual >= 0]  # the others are lost
    actual = actual[actual >= 0]
    _add_appends(
        violations,
        Kind.MISPLACED,
        evidence,
        actual,
        misplaced,
        lambda i: (
            f"{_known_by(int(appends.outcome[misplaced[i]]))} "
            f"at version {appends.version[misplaced[i]]} "
            f"of {violations.name_of(int(appends.stream[misplaced[i]]))!r}"
        ),
    )


def expected_versions(evidence: Evidence, violations: Violations) -> None:
    """The expected version of an append held where it was written.

    Attempts with the same ids are one append: it is enough that one of them expected
    the actual version, since a retry gets the first one's result.
    """
    appends = evidence.appends
    attempts, version = _first_versions(evidence)
    expected = appends.expected[attempts]
    holds = _holds(expected, version)
    first = appends.first[attempts]
    ignored = np.flatnonzero(~holds)
    ignored = ignored[~np.isin(first[ignored], first[holds])]
    ignored = ignored[np.unique(first[ignored], return_index=True)[1]]
    violations.add(
        Kind.EXPECTED_VERSION_IGNORED,
        appends.stream[attempts[ignored]],
        version[ignored],
        first[ignored],
        lambda i: f"its append expected {_described(int(expected[ignored[i]]))}",
        rank=(0, first[ignored]),
    )


def _first_versions(evidence: Evidence) -> tuple[Ints, Ints]:
    """Attempts that wrote, and the version of their first event: as read, else as acknowledged."""
    appends = evidence.appends
    may = (standing_of(appends.outcome) >= Standing.UNKNOWN) & (appends.count > 0)
    attempts = np.flatnonzero(may)
    sent = evidence.ledger.find(appends.first[attempts])
    version, row = evidence.acknowledged_version(sent), evidence.row[sent]
    version[row >= 0] = evidence.log.version[row[row >= 0]]
    known = version >= 0
    return attempts[known], version[known]


def _holds(expected: Ints, first_version: Ints) -> Flags:
    return np.select(
        [expected == ANY, expected == NO_STREAM, expected == EXISTS],
        [np.full(len(expected), fill_value=True), first_version == 0, first_version > 0],
        first_version == expected + 1,
    )


def _described(code: int) -> str:
    expected = from_code(code)
    return f"version {code}" if isinstance(expected, int) else spelled(expected)
