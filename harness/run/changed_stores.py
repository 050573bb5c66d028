"""Which of the compared stores differ between two checkouts; the others have the same code.

Run as a process with a checkout's code, it prints where each store is imported from.
"""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.domain.errors import Refused
from harness.run.checkout_runner import Checkout, files_there
from harness.stores import files as store_files

_INSTALLED = (
    Path(__file__).resolve().parents[1],
    *(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")),
)
"""Folders of installed packages, the lab's too: a project may contain them in its `.venv`."""


def same_on_both(sides: Mapping[str, Checkout], stores: Sequence[str]) -> list[str]:
    """The stores whose code is not the checkouts', so the same on both sides.

    Raises `Refused` if no store differs, or if only one side contains a store: the other would
    run the installed package, which may be the same code.
    """
    if any(code.is_lab for code in sides.values()):
        return []
    imported = {side: files_there(code) for side, code in sides.items()}
    own = {side: _own(code, imported[side], stores) for side, code in sides.items()}
    brought = set().union(*own.values())
    for side, code in sides.items():
        for store in sorted(brought - own[side]):
            raise Refused(_foreign(code, store, imported[side].get(store)))
    if not brought:
        reason = f"it is not the lab and brings none of these stores ({', '.join(stores)})"
        raise Refused(f"--project: {reason}, so both sides would be the same code")
    return [store for store in stores if store not in brought]


def _own(code: Checkout, files: Mapping[str, str], stores: Sequence[str]) -> set[str]:
    """The stores that are imported from this checkout."""
    imported = {name: Path(files[name]).resolve() for name in stores if files.get(name)}
    return {name for name, file in imported.items() if _within(file, code.folder.resolve())}


def _within(file: Path, folder: Path) -> bool:
    return file.is_relative_to(folder) and not any(map(file.is_relative_to, _INSTALLED))


def _foreign(code: Checkout, store: str, file: str | None) -> str:
    there = f"would be that of {file}, not of this commit" if file else "is not there"
    return f"{code.name}: {store} {there}; expected its package at the root or in src/ there"


if __name__ == "__main__":
    print(json.dumps(dict(store_files())))  # noqa: T201 — what the process is for
