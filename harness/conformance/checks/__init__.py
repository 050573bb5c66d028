"""The checks, a module for each requirement, found by its name.

| checks | module |
| --- | --- |
| 1–6 | `append_only` |
| 7–15 | `ordered` |
| 16–23 | `versioned` |
| 24–30 | `idempotent` |
| 31–39 | `subscriptions` |
| 40–47, 50 | `fidelity` |
| 48, 49, 57 | `durable` |
| 61–68 | `boundaries` |
| 51–56 | `trouble` |
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from harness.conformance.framework.check import Check, Requirement
from harness.domain.errors import BadInput


@cache
def all_checks() -> Mapping[int, Check]:
    """Every check by its number, in the order of requirements and then of numbers."""
    modules = {module.name for module in pkgutil.iter_modules(__path__)}
    checks: dict[int, Check] = {}
    for requirement in Requirement:
        if requirement.value not in modules:
            continue
        module = importlib.import_module(f"{__name__}.{requirement.value}")
        of_module = [each for each in vars(module).values() if isinstance(each, Check)]
        for each in sorted(of_module, key=lambda each: each.number):
            if each.number in checks:
                raise ValueError(f"two checks have the number {each.number}")
            checks[each.number] = each
    return checks


def numbered(text: str, *, flag: str = "--checks") -> Sequence[Check]:
    """The checks of a list like `9,16,51-56`; all of them for an empty one. Raises `BadInput`.

    A range takes the checks that there are in it.
    """
    checks = all_checks()
    if not text.strip():
        return list(checks.values())
    wanted = [number for part in text.split(",") for number in _numbers(part, checks, flag)]
    return [each for number, each in checks.items() if number in wanted]


def _numbers(part: str, checks: Mapping[int, Check], flag: str) -> Sequence[int]:
    first, dash, last = part.partition("-")
    if not dash:
        return [_number(part, checks, flag)]
    ends = (_number(first, checks, flag), _number(last, checks, flag))
    if ends[0] > ends[1]:
        raise BadInput(f"{flag}: {part.strip()!r} is no range: its first number is the larger one")
    return [number for number in checks if ends[0] <= number <= ends[1]]


def _number(part: str, checks: Mapping[int, Check], flag: str) -> int:
    number = int(part) if part.strip().isascii() and part.strip().isdigit() else 0
    if number not in checks:
        raise BadInput(f"{flag}: no check {part.strip()!r}; expected numbers of {_ranges(checks)}")
    return number


def _ranges(numbers: Iterable[int]) -> str:
    """`1–50, 57`."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in found)
