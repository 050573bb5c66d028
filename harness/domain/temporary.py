"""Temporary folders whose names say whose they are, so that those of killed labs are removed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.domain.marks import Mark

TEMPORARY = "eslab-"
"""What they begin with in the system's folder for them; a mark follows."""


@contextmanager
def temporary_folder(inside: Path | None = None, *, begins: str = TEMPORARY) -> Iterator[Path]:
    """A new folder, removed after the block; so are those beside it that killed labs left.

    Raises `OSError`.
    """
    place = inside or Path(tempfile.gettempdir())
    remove_abandoned(place, begins)
    prefix = f"{begins}{Mark.of_this_run()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place) as folder:
        yield Path(folder)


def remove_abandoned(
    place: Path, begins: str, *, release: Callable[[str], None] = lambda _: None
) -> None:
    """Remove the marked folders of labs of this machine that have ended.

    `release` takes each folder first, to give back what the system keeps in it.
    """
    with suppress(OSError):
        for path in place.iterdir():
            mark = Mark.found_in(path.name) if path.name.startswith(begins) else None
            if mark is not None and mark.is_of_this_machine and not mark.lives:
                if not path.is_symlink():
                    release(str(path))
                shutil.rmtree(path, ignore_errors=True)
