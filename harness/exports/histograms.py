"""The histogram log of a run, which its making has already written."""

from __future__ import annotations

from harness.errors import Refused
from harness.results import Run
from harness.results.hlog import HLOG_FILE


def hlog(run: Run) -> str:
    """`latency.hlog` as it is. Raises `Refused` for a run that was made without it."""
    path = run.path / HLOG_FILE
    if not path.is_file():
        how = "pip install 'eventstore-lab[hlog]' and run again"
        raise Refused(f"{run.path}: has no {HLOG_FILE}; {how}")
    return path.read_text(encoding="ascii")
