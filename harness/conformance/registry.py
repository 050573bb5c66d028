"""The checks that there are: found by name, a file for each requirement."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from functools import cache

from harness import conformance
from harness.conformance.check import Check, Requirement
from harness.errors import BadInput


@cache
def all_checks() -> Mapping[int, Check]:
    """Every check by its number, in the order of requirements and then of numbers."""
    names = {module.name for module in pkgutil.iter_modules(conformance.__path__)}
    found: dict[int, Check] = {}
    for requirement in Requirement:
        if requirement.value not in names:
            continue
        module = importlib.import_module(f"{conformance.__name__}.{requirement.value}")
        checks = [each for each in vars(module).values() if isinstance(each, Check)]
        for each in sorted(checks, key=lambda each: each.number):
            if each.number in found:
                raise ValueError(f"two checks have the number {each.number}")
            found[each.number] = each
    return found


def numbered(text: str, *, flag: str = "--checks") -> Sequence[Check]:
    """The checks of a list like `9,16`; all of them for an empty one. Raises `BadInput`."""
    checks = all_checks()
    if not text.strip():
        return list(checks.values())
    wanted = [_number(part, checks, flag) for part in text.split(",")]
    return [each for number, each in checks.items() if number in wanted]


def _number(part: str, checks: Mapping[int, Check], flag: str) -> int:
    number = int(part) if part.strip().isascii() and part.strip().isdigit() else 0
    if number not in checks:
        last = max(checks)
        raise BadInput(f"{flag}: no check {part.strip()!r}; expected numbers of 1 to {last}")
    return number
