"""The histogram log of a run, which its making has already written."""

from __future__ import annotations

from harness.errors import BadInput, Refused
from harness.results import Run
from harness.results.hlog import HLOG_FILE


def hlog(run: Run) -> str:
    """`latency.hlog` as it is. Raises `Refused` for a run that was made without it.

    Raises `BadInput` for one that is cut off: its last line would be read as a shorter histogram.
    """
    path = run.path / HLOG_FILE
    if not path.is_file():
        how = "pip install 'eventstore-lab[hlog]' and run again"
        raise Refused(f"{run.path}: has no {HLOG_FILE}; {how}")
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not a histogram log") from error
    if not text.endswith("\n"):
        raise BadInput(f"{path}: cut off in its last line")
    return text
