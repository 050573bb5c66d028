"""Check of single streams: each read by itself is what the global read has of it."""

from __future__ import annotations

import numpy as np

from harness.history.columns import Flags, Log, StreamReads
from harness.history.evidence import Evidence, take
from harness.history.findings import Findings
from harness.history.ledger import Standing
from harness.history.violations import Kind


def streams_agree(evidence: Evidence, reads: StreamReads, findings: Findings) -> None:
    """Compare every stream that was read."""
    for index, stream in enumerate(reads.streams.tolist()):
        rows = np.arange(reads.bounds[index], reads.bounds[index + 1])
        alone = take(reads.log, rows)
        within = take(evidence.log, evidence.rows_of_stream(stream))
        alone = take(alone, ~_landed_since(evidence, alone, within))
        differs = _first_difference(alone, within)
        if differs >= 0:
            _add(findings, stream, alone, within, differs)


def _landed_since(evidence: Evidence, alone: Log, within: Log) -> Flags:
    """Events of unknown outcome that were written between the global read and this one."""
    sent = evidence.ledger.find(alone.event)
    unknown = np.zeros(len(alone), np.bool_)
    unknown[sent >= 0] = evidence.ledger.standing[sent[sent >= 0]] == Standing.UNKNOWN
    return unknown & ~np.isin(alone.event, within.event)


def _first_difference(alone: Log, within: Log) -> int:
    """The index of the first difference, or -1."""
    shorter = min(len(alone), len(within))
    differs = np.zeros(shorter, np.bool_)
    for name in ("stream", "version", "event", "intact"):
        differs |= getattr(alone, name)[:shorter] != getattr(within, name)[:shorter]
    if differs.any():
        return int(np.argmax(differs))
    return shorter if len(alone) != len(within) else -1


def _add(findings: Findings, stream: int, alone: Log, within: Log, index: int) -> None:
    where = within if index < len(within) else alone
    findings.add(
        Kind.STREAM_READ_DIFFERS,
        np.array([stream]),
        where.version[index : index + 1],
        where.event[index : index + 1],
        f"the first difference; the stream read gives {len(alone)} events, "
        f"the global read {len(within)}",
    )
