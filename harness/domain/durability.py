"""Durability classes: what an acknowledged append survives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple


class Durability(StrEnum):
    """Durability as configured, from the weakest class to the strongest; `UNKNOWN` has no place.

    A member's value is the text in results and tables; `short` is its name in a scenario's
    `require`. Rankings stay inside one class.
    """

    short: str

    MEMORY = "memory", "memory"
    BOUNDED_LOSS = "bounded loss at a crash", "bounded-loss"
    PROCESS_CRASH = "process-crash safe", "process-crash"
    POWER_LOSS = "power-loss safe as configured", "power-loss"
    UNKNOWN = "unknown durability", "unknown"
    """The server does not report what decides: no weaker and no stronger than any other class."""

    def __new__(cls, text: str, short: str) -> Durability:
        member = str.__new__(cls, text)
        member._value_ = text
        member.short = short
        return member


Required = Literal["power-loss", "process-crash", "bounded-loss"]
"""The classes that a scenario may require, by their short names."""

_KNOWN = tuple(each for each in Durability if each is not Durability.UNKNOWN)

SHORT_NAMES = tuple(each.short for each in _KNOWN)
"""From the weakest class to the strongest, without the unknown one."""

SHORT_NAME_OF = {each.value: each.short for each in _KNOWN}
"""By the text in results, without the unknown one."""


def weakest(*classes: Durability) -> Durability:
    """The class of a store that several settings decide: each takes away, and none gives back.

    Classes differ in what a crash of the server and what a power loss leaves. `BOUNDED_LOSS` loses
    a little in both, and `PROCESS_CRASH` everything in the second: a store with the faults of both
    promises no more than `MEMORY`. An unknown setting may be the weakest one, unless another one
    leaves nothing to promise.
    """
    given = set(classes)
    if Durability.MEMORY in given or {Durability.BOUNDED_LOSS, Durability.PROCESS_CRASH} <= given:
        return Durability.MEMORY
    if Durability.UNKNOWN in given:
        return Durability.UNKNOWN
    return min(given, key=_KNOWN.index, default=Durability.POWER_LOSS)


_LATE_S = 1.0
"""What a flush that is due may wait for a core and a disk; no setting bounds that."""


def beyond(bound_s: float | None, oldest_lost_s: float) -> bool:
    """Whether a loss is older than the settings of a store with bounded loss allow."""
    return bound_s is not None and oldest_lost_s > bound_s + _LATE_S


@dataclass(frozen=True, slots=True)
class PowerLosses:
    """What losses of power under load left of a store: its durability, measured."""

    losses: int
    acknowledged: int
    """Appends that were acknowledged before the power was lost."""
    lost: int
    """Those of them that were not there when it was back."""
    oldest_lost_s: float
    """The age of the oldest of these when the power was lost; 0 where nothing is."""
    no_start: str = ""
    """How the server ended that did not start again; empty if it always did."""
    bound_s: float | None = None
    """How old a loss may be by the settings of a store with bounded loss, where they say so."""

    def durability(self, declared: Durability) -> Durability:
        """The class that follows for a store whose settings give it another one.

        Power losses do not tell what a crash of the server alone leaves: a class that loses then,
        too, stays, unless more is lost than its bound.
        """
        if not self.lost and not self.no_start:
            return Durability.POWER_LOSS
        if declared is Durability.BOUNDED_LOSS and beyond(self.bound_s, self.oldest_lost_s):
            return Durability.MEMORY
        below = (Durability.MEMORY, Durability.BOUNDED_LOSS)
        return declared if declared in below else Durability.PROCESS_CRASH

    def __str__(self) -> str:
        if self.no_start:
            return f"after {self.losses} power losses it does not start again: {self.no_start}"
        what = f"{self.acknowledged:,} acknowledged appends in {self.losses} power losses"
        if not self.lost:
            return f"lost none of {what}"
        lost = f"lost {self.lost:,} of {what}, the oldest {self.oldest_lost_s:.2f} s old"
        if beyond(self.bound_s, self.oldest_lost_s):
            return f"{lost}, where the settings bound it to {self.bound_s:g} s"
        return lost


class BySetting(NamedTuple):
    """What the values of one setting allow at most; a value that is not listed is unknown."""

    name: str
    classes: Mapping[str, Durability]
    missing: str = ""
    """The value where the server reports none; empty if that is unknown."""

    def class_of(self, settings: Mapping[str, str]) -> Durability:
        """The class that its value in `settings` allows."""
        value = settings.get(self.name, self.missing).strip().lower()
        return self.classes.get(value, Durability.UNKNOWN)


def by_settings(rules: Iterable[BySetting], settings: Mapping[str, str]) -> Durability:
    """The weakest of the classes that each setting allows."""
    return weakest(*(rule.class_of(settings) for rule in rules))
