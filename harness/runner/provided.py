"""Which of the compared stores two checkouts bring themselves: others are the same code twice."""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import Refused
from harness.runner.checkouts import Checkout
from harness.runner.elsewhere import files_there

_INSTALLED = (
    Path(__file__).resolve().parents[1],
    *(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")),
)
"""The lab's package and others': a project may have them inside, in its `.venv`."""


def same_on_both(sides: Mapping[str, Checkout], stores: Sequence[str]) -> list[str]:
    """The stores whose code is not the checkouts', so the same on both sides.

    Raises `Refused` where that is all of them, or where only one side brings a store: the other
    would run what is installed, which may be the very code that it is held against.
    """
    if any(code.is_lab for code in sides.values()):
        return []
    found = {side: files_there(code) for side, code in sides.items()}
    own = {side: _own(code, found[side], stores) for side, code in sides.items()}
    brought = set().union(*own.values())
    for side, code in sides.items():
        for store in sorted(brought - own[side]):
            raise Refused(_foreign(code, store, found[side].get(store)))
    if not brought:
        told = f"it is not the lab and brings none of these stores ({', '.join(stores)})"
        raise Refused(f"--project: {told}, so both sides would be the same code")
    return [store for store in stores if store not in brought]


def _own(code: Checkout, files: Mapping[str, str], stores: Sequence[str]) -> set[str]:
    """The stores that are imported from this checkout."""
    found = {name: Path(files[name]).resolve() for name in stores if files.get(name)}
    return {name for name, file in found.items() if _within(file, code.folder.resolve())}


def _within(file: Path, folder: Path) -> bool:
    return file.is_relative_to(folder) and not any(map(file.is_relative_to, _INSTALLED))


def _foreign(code: Checkout, store: str, file: str | None) -> str:
    there = f"would be that of {file}, not of this commit" if file else "is not there"
    return f"{code.name}: {store} {there}; expected its package at the root or in src/ there"
