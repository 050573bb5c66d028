"""How an operation or an append ended. Every outcome is counted, none is discarded."""

from __future__ import annotations

from enum import IntEnum

from harness.domain import errors


class Outcome(IntEnum):
    """How an operation ended. Sample files store the numbers, so they are never reused."""

    OK = 0
    CONFLICT = 1
    REFUSED = 2
    TIMEOUT = 3
    UNKNOWN = 4
    DROPPED = 5
    UNFINISHED = 6
    FOUND = 7
    """Of an append alone, never of an operation: no answer came, and a later read found it."""


def outcome_of(error: errors.StoreError) -> Outcome:
    """What a store's error means for the operation that it ended."""
    match error:
        case errors.WrongExpectedVersion() | errors.BoundaryViolated():
            return Outcome.CONFLICT
        case errors.OutcomeUnknown():
            return Outcome.UNKNOWN
        case errors.ReadTimeout() | errors.NotSent():
            return Outcome.TIMEOUT
        case _:
            return Outcome.REFUSED


def reason_of(error: errors.StoreError) -> str:
    """The class name that a refusal is counted under: the driver's own where it is known."""
    return error.reason if isinstance(error, errors.AppendRefused) else type(error).__name__
