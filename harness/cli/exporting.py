"""`eslab export`: a run in another tool's format, on standard output or in a new file."""

from __future__ import annotations

from pathlib import Path

from harness.errors import BadInput
from harness.exports import export
from harness.results.disk import write_atomically


def to(folder: Path, name: str, *, out: Path | None) -> None:
    """Raises `BadInput` rather than overwriting a file that is there."""
    if out is not None and out.exists():
        raise BadInput(f"--out {out}: is there already")
    text = export(folder, name)
    if out is None:
        print(text, end="")
    else:
        write_atomically(out, text.encode())
