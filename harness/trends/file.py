"""The history file: rows are added at its end, and nothing in it is ever changed."""

from __future__ import annotations

import errno
from pathlib import Path

import pandas as pd

from harness.errors import BadInput, LabError
from harness.trends.parsing import parsed

_FULL = {errno.ENOSPC, errno.EDQUOT}


def read(path: Path) -> pd.DataFrame:
    """Every row, in the order in which they were added. Raises `BadInput` in one line."""
    if not path.is_file():
        raise BadInput(f"{path}: no history yet; `eslab history add RUN` begins one")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        told = str(error).splitlines()[0]
        raise BadInput(f"{path}: not a history, or cut off: {told}") from None
    return parsed(text, str(path))


def append(path: Path, added: pd.DataFrame) -> None:
    """Add rows of one run.

    Raises `BadInput` for a run that is there, for another file, and for what no run can have.
    """
    if path.exists():
        known = read(path)
        twice = set(known["run"]) & set(added["run"])
        if twice:
            raise BadInput(f"{path}: {sorted(twice)[0]} is in it already")
    text = added.to_csv(index=False, lineterminator="\n")
    parsed(text, "what is to be added")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(text if file.tell() == 0 else text.partition("\n")[2])
    except OSError as error:
        kind = LabError if error.errno in _FULL else BadInput
        raise kind(f"{path}: cannot be written: {error.strerror}") from None
