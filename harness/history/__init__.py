"""Checks what came back from a store against what it acknowledged.

`verify` reads a store back and checks everything; `check` does the checks alone, on columns
that were read before. `declared` tells whether a violation breaks a promise.

    columns → ledger (what was sent, by event) → evidence (joined with the log)
            → presence · placement · order · stream_reads · delivered → findings
"""

from harness.history.columns import (
    ANY,
    EXISTS,
    FOREIGN,
    NO_STREAM,
    Appends,
    Deliveries,
    Log,
    StreamReads,
)
from harness.history.promises import PROMISES, declared
from harness.history.reading import read_log, read_streams
from harness.history.verifying import check, verify
from harness.history.violations import Kind, Verification, Violation

__all__ = [
    "ANY",
    "EXISTS",
    "FOREIGN",
    "NO_STREAM",
    "PROMISES",
    "Appends",
    "Deliveries",
    "Kind",
    "Log",
    "StreamReads",
    "Verification",
    "Violation",
    "check",
    "declared",
    "read_log",
    "read_streams",
    "verify",
]
