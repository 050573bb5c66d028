"""Every error the lab raises on purpose, drawn as one tree.

LabError                      the lab itself cannot go on; carries the exit code
├── BadInput            (2)   a scenario, a flag or a name is wrong; says where
├── Refused             (3)   a comparison or a report would mislead
├── NoServer            (4)   no server is available
└── MissingExtra        (4)   a driver is not installed

StoreError                    data, not a bug: the answer to "was it written?"
├── NotWritten                no
│   ├── WrongExpectedVersion  the stream's head is not where the caller thought
│   ├── BoundaryViolated      an event that the append excludes was written in the meantime
│   ├── AppendRefused         the store refused before anything could be written
│   │   ├── EmptyAppend       no events were given
│   │   ├── EventTooLarge     over the store's size limit
│   │   ├── OutOfResources    the server or the machine has no room, memory or handles left
│   │   ├── BatchTooLarge     over the store's limit on one append
│   │   └── EventIdReused     the same event id with other content, place or order
│   ├── StoreUnavailable      no server answered, so nothing was sent
│   │   └── Unsuitable        one answered, and is not one to write to
│   └── NotSent               the deadline passed before the append was sent
├── OutcomeUnknown            perhaps: it was sent, and the answer never came
├── ReadFailed                a read failed; nothing could have been written
│   └── ReadTimeout           … because its deadline passed
├── StreamNotFound            the stream does not exist (an empty read is not this)
├── TamperingPrevented        past the adapter, by something else than an append-only store
└── UnsupportedByStore        the design cannot do this, and says so
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.domain.formatting import printable


class LabError(Exception):
    """The lab cannot go on. `exit_code` is what the command line returns.

    Its text is one printable line, even where it names a path that is not.
    """

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__())


class BadInput(LabError):
    """A value from the user is wrong; one line with its place and what is allowed."""

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
    """A comparison or a report that would mislead; the message gives the reason."""

    exit_code = 3


class NoServer(LabError):
    """No server is available; the message says what would make one available."""

    exit_code = 4


class MissingExtra(LabError):
    """A driver is not installed; the message names the extra that brings it."""

    exit_code = 4


class StoreError(Exception):
    """A store's answer other than success. Data, not a bug."""


class NotWritten(StoreError):
    """Certainly not written."""


@dataclass(slots=True, eq=False)
class WrongExpectedVersion(NotWritten):
    """The append's expected version does not match the head of its stream.

    `actual` is the head's version, or `None` where the stream does not exist
    or where the store does not return it.
    """

    stream: str
    expected: object
    actual: int | None

    def __str__(self) -> str:
        return f"stream {self.stream!r}: expected {self.expected}, actual {self.actual}"


class BoundaryViolated(NotWritten):
    """An event that matches the append's condition was written after the state decided on."""


class AppendRefused(NotWritten):
    """The store or its driver refused before anything could be written.

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


class OutOfResources(AppendRefused):
    """The server or the machine has no room, memory, connections or file handles left."""


class EventIdReused(AppendRefused):
    """The store has this event id with other content, in another stream or another order."""


class StoreUnavailable(NotWritten):
    """No server answered, so nothing was sent."""


class Unsuitable(StoreUnavailable):
    """A server answered that is not as it was asked to be, or where others would be hurt.

    Nothing was written, or what was made is removed again. The message says what to do.
    """


def require_as_asked(where: str, asked: Mapping[str, str], found: Mapping[str, object]) -> None:
    """Raises `Unsuitable`, naming every setting that was asked for and is not in force."""
    others = [
        f"{name} = {value!r} is {found.get(name)!r}"
        for name, value in asked.items()
        if found.get(name) != value
    ]
    if others:
        raise Unsuitable(f"{where} did not take what was asked of it: {', '.join(others)}")


class NotSent(NotWritten):
    """The deadline passed before the append was sent."""


class OutcomeUnknown(StoreError):
    """The append was sent and no answer came: only a later read shows whether it was written."""


class ReadFailed(StoreError):
    """A read failed: the connection broke or the server gave up."""


class ReadTimeout(ReadFailed):
    """A read did not finish before its deadline."""


class StreamNotFound(StoreError):
    """The stream does not exist. A read past the head of an existing stream is empty instead."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"stream {stream!r} does not exist")
        self.stream = stream


class TamperingPrevented(StoreError):
    """A change past the adapter did not happen, and not because events are append-only.

    Nothing follows about the store: without what was in the way it may allow the change.
    """


class UnsupportedByStore(StoreError):
    """The design cannot do this. It is declared in its `Guarantees` and reported as such."""
