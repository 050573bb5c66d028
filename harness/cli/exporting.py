"""`eslab export`: a run in another tool's format, on standard output or in a new file."""

from __future__ import annotations

from pathlib import Path

from harness.errors import BadInput
from harness.exports import export
from harness.results.disk import write_atomically


def to(folder: Path, name: str, *, out: Path | None) -> None:
    """Folders on the way are made. Raises `BadInput` rather than overwriting what is there."""
    if out is not None and out.exists():
        raise BadInput(f"--out {out}: is there already")
    text = export(folder, name)
    if out is None:
        print(text, end="")
    else:
        _make_folder(out.parent)
        write_atomically(out, text.encode())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out: {folder}: {error.strerror}; expected a folder") from error
