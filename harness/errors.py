"""Every error the lab raises on purpose, drawn as one tree.

LabError                      the lab itself cannot go on; carries the exit code
├── BadInput            (2)   a scenario, a flag or a name is wrong; says where
├── Refused             (3)   a comparison or a report would mislead
├── NoServer            (4)   no server could be had
└── MissingExtra        (4)   a driver is not installed

StoreError                    data, not a bug: the answer to "was it written?"
├── NotWritten                no
│   ├── WrongExpectedVersion  the stream's head is not where the caller thought
│   ├── AppendRefused         the store said no before anything could be written
│   │   ├── EmptyAppend       no events were given
│   │   ├── EventTooLarge     over the store's size limit
│   │   ├── BatchTooLarge     over the store's limit on one append
│   │   └── EventIdReused     the same event id with other content, place or order
│   ├── StoreUnavailable      nobody answered, so nothing was sent
│   └── NotSent               the deadline passed before the append was sent
├── OutcomeUnknown            perhaps: it was sent, and the answer never came
├── ReadFailed                a read came to nothing; nothing was at stake
│   └── ReadTimeout           … because its deadline passed
├── StreamNotFound            the stream does not exist (an empty read is not this)
└── UnsupportedByStore        the design cannot do this, and says so
"""

from __future__ import annotations

from dataclasses import dataclass


class LabError(Exception):
    """The lab cannot go on. `exit_code` is what the command line returns."""

    exit_code = 1


class BadInput(LabError):
    """Something the user wrote is wrong: one line that says where and what is allowed."""

    exit_code = 2

    def __init__(self, message: str, *, file: str = "", line: int = 0, column: int = 0) -> None:
        self.message, self.file, self.line, self.column = message, file, line, column
        super().__init__(self._rendered())

    def _rendered(self) -> str:
        if not self.file:
            return self.message
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}"


class Refused(LabError):
    """A comparison or a report that would mislead, and the reason."""

    exit_code = 3


class NoServer(LabError):
    """No server could be had; the message says what would make one available."""

    exit_code = 4


class MissingExtra(LabError):
    """A driver is not installed; the message names the extra that brings it."""

    exit_code = 4


class StoreError(Exception):
    """What a store answered when it did not answer yes. Data, not a bug."""


class NotWritten(StoreError):
    """Certainly not written."""


@dataclass(slots=True, eq=False)
class WrongExpectedVersion(NotWritten):
    """The append's expected version does not match the head of its stream.

    `actual` is the head's version, or `None` where the stream does not exist
    or where the store does not tell.
    """

    stream: str
    expected: object
    actual: int | None

    def __str__(self) -> str:
        return f"stream {self.stream!r}: expected {self.expected}, actual {self.actual}"


class AppendRefused(NotWritten):
    """The store or its driver said no before anything could be written.

    `reason` keeps the driver's own class name, so that the results can count it.
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or type(self).__name__


class EmptyAppend(AppendRefused):
    """An append of no events."""


class EventTooLarge(AppendRefused):
    """One event exceeds the store's size limit."""


class BatchTooLarge(AppendRefused):
    """One append exceeds the store's limit on events or bytes."""


class EventIdReused(AppendRefused):
    """An event id was seen before with other content, in another stream or in another order."""


class StoreUnavailable(NotWritten):
    """Nobody answered, so nothing was sent."""


class NotSent(NotWritten):
    """The deadline passed before the append was sent."""


class OutcomeUnknown(StoreError):
    """The append was sent and its answer never came: written or not, only a later read can tell."""


class ReadFailed(StoreError):
    """A read came to nothing: the connection broke or the server gave up."""


class ReadTimeout(ReadFailed):
    """A read did not finish before its deadline."""


class StreamNotFound(StoreError):
    """The stream does not exist; a stream read past its head is empty instead."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"stream {stream!r} does not exist")
        self.stream = stream


class UnsupportedByStore(StoreError):
    """The design cannot do this. It is declared in its `Guarantees` and reported as such."""
