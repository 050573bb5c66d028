"""The installed client library, and its exceptions as the lab's errors.

The library is `esdbclient`, or its successor `kurrentdbclient` under new names.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from harness.domain import grpc_environment
from harness.domain.cancellation import cancelled
from harness.domain.errors import (
    AppendRefused,
    BatchTooLarge,
    EventIdReused,
    EventTooLarge,
    MissingExtra,
    NoServer,
    OutcomeUnknown,
    StoreError,
    StoreUnavailable,
    WrongExpectedVersion,
)
from harness.domain.store import ExpectedVersion, StreamState
from harness.stores._shared.driver_errors import Mapped, Meaning, Meanings, Table


@dataclass(frozen=True, slots=True)
class Library:
    """The parts of either library that the adapter needs; the two cannot be installed together."""

    client: Any
    exceptions: Any
    new_event: Any
    stream_state: Any
    common: Any
    """The module that turns gRPC's errors into the library's own."""

    def once(self, method: str) -> Any:
        """A method of the client without its decorators.

        The decorators retry a call 0.1 s after a gRPC fault: the wait would hide in a service
        time, and the retry would not be counted.
        """
        return inspect.unwrap(getattr(self.client, method))

    def error(self, name: str) -> type[Exception]:
        """An exception by its name in `esdbclient`; the successor's names all end in Error."""
        named = getattr(self.exceptions, name, None)
        kind: type[Exception] = named or getattr(
            self.exceptions, f"{name.removesuffix('Error')}Error"
        )
        return kind

    def errors(self, *names: str) -> list[type[Exception]]:
        """Those exceptions that the library has: some are of one of the two only."""
        return [
            self.error(name)
            for name in names
            if hasattr(self.exceptions, name)
            or hasattr(self.exceptions, f"{name.removesuffix('Error')}Error")
        ]

    @property
    def any_error(self) -> type[Exception]:
        """The base class of all the library's exceptions but `ProgrammingError`."""
        older = getattr(self.exceptions, "EventStoreDBClientException", None)
        kind: type[Exception] = older or self.exceptions.KurrentDBClientError
        return kind

    @property
    def others(self) -> tuple[type[BaseException], ...]:
        """What else leaves its calls: gRPC's errors as they are, and what its own code raises.

        It asserts what it expects of an answer.
        """
        return (
            importlib.import_module("grpc").RpcError,
            importlib.import_module("grpc.aio").UsageError,
            self.exceptions.ProgrammingError,
            OSError,
            AssertionError,
            ValueError,
            asyncio.InvalidStateError,
        )


@cache
def library() -> Library:
    """Raises `MissingExtra` where neither is installed."""
    grpc_environment.prepare()
    for package, client in (
        ("esdbclient", "AsyncEventStoreDBClient"),
        ("kurrentdbclient", "AsyncKurrentDBClient"),
    ):
        if importlib.util.find_spec(package):
            root = importlib.import_module(package)
            return Library(
                client=getattr(root, client),
                exceptions=importlib.import_module(f"{package}.exceptions"),
                new_event=root.NewEvent,
                stream_state=root.StreamState,
                common=importlib.import_module(f"{package}.common"),
            )
    raise MissingExtra(
        "the driver esdbclient is not installed; pip install 'eventstore-lab[eventstoredb]'"
    )


_CLOSED = ConnectionAbortedError("the connection was closed")
_HEAD = re.compile(r"last event is (\d+) not")
_REFUSALS = (
    "AccessDeniedError", "StreamIsDeleted", "InvalidTransactionError", "BadRequestError",
    "UnauthenticatedError", "InvalidArgumentError", "NodeIsNotLeader",
)  # fmt: skip
_REFUSING = ("UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "INVALID_ARGUMENT")
"""The statuses with which gRPC's own layers, or the server's before it writes, end a call."""
_STATUS = re.compile(r"status = StatusCode\.([A-Z_]+)")
_MESSAGE_TOO_LARGE = re.compile(r"message (?:larger than max|exceeds the maximum)", re.I)
_EVENT_TOO_LARGE = "event_store.client.MaximumAppendEventSizeExceeded"
"""A detail of KurrentDB's answers that neither library knows."""
_NEVER_SENT = re.compile(
    r"failed to connect|name resolution|no addresses|empty address list|SSL_ERROR"
    r"|security handshaker|RST_STREAM with error code 7\b",
    re.I,
)
"""The last is REFUSED_STREAM, for a call that the server has no place for and did not look at."""


def appending(stream: str, expected: ExpectedVersion, events: int) -> Mapped:
    """Maps the errors of an append of that many events, after it was sent on a call of its own."""

    def conflict(error: Exception) -> StoreError:
        if expected is StreamState.ANY:
            return EventIdReused("the first of the event ids is known, and not as this append")
        head = _HEAD.search(str(error))
        return WrongExpectedVersion(stream, expected, int(head[1]) if head else None)

    def too_large(error: Exception) -> StoreError:
        return (EventTooLarge if events == 1 else BatchTooLarge)(_described(error))

    def by_its_text(error: Exception) -> StoreError:
        if _EVENT_TOO_LARGE in _detail(error):
            return EventTooLarge("an event is over the server's MaxAppendEventSize")
        status = _STATUS.search(str(error))
        if _MESSAGE_TOO_LARGE.search(str(error)):
            return too_large(error)
        refused = status is not None and status[1] in _REFUSING
        return _refused(error) if refused else _MEANINGS.unknown(error)

    def table() -> Table:
        lib = library()
        return {
            lib.error("WrongCurrentVersion"): conflict,
            lib.error("MaximumAppendSizeExceededError"): too_large,
            **dict.fromkeys(lib.errors(*_REFUSALS), _refused),
            lib.error("ServiceUnavailable"): _unavailable,
            lib.any_error: by_its_text,
            **_all(lib.others, by_its_text),
        }

    return Mapped(table)


def is_about_the_call(error: Exception) -> bool:
    """Whether an error says that the server took nothing of the whole call that it ended.

    Of appends that share a call, any other error leaves open which were written.
    """
    lib = library()
    if isinstance(error, lib.error("ServiceUnavailable")):
        return bool(_NEVER_SENT.search(str(error)))
    if isinstance(error, tuple(lib.errors("UnauthenticatedError", "AccessDeniedError"))):
        return True
    status = _STATUS.search(str(error))
    return status is not None and status[1] in _REFUSING[:3]


def _all(kinds: tuple[type[BaseException], ...], meaning: Meaning) -> Table:
    """The same meaning for each of them, and for what a client does that was closed meanwhile."""

    def unasked(error: BaseException) -> Exception | None:
        """gRPC cancels what is under way on a channel that is closed."""
        del error
        return None if cancelled() else meaning(_CLOSED)

    def missing(error: AttributeError) -> Exception | None:
        """A closed client has no connection, and looks for it before it sends."""
        return (
            StoreUnavailable(f"nothing was sent: {_CLOSED}")
            if error.name == "_connection"
            else None
        )

    others = {asyncio.CancelledError: unasked, AttributeError: missing}
    return {**dict.fromkeys(kinds, meaning), **others}


def _detail(error: Exception) -> str:
    """The type of the message with which a server says what is wrong; empty without one."""
    said = error.args[0] if error.args else None
    return str(getattr(getattr(said, "details", said), "type_url", ""))


def _refused(error: Exception) -> AppendRefused:
    return AppendRefused(_described(error), reason=type(error).__name__)


def _unavailable(error: Exception) -> StoreError:
    """The append is certainly not written only where there was no connection to send it on."""
    if _NEVER_SENT.search(str(error)):
        return _MEANINGS.not_connected(error)
    return _MEANINGS.unknown(error)


@cache
def _reads() -> Table:
    lib = library()
    return {
        lib.error("DeadlineExceeded"): _MEANINGS.late,
        lib.any_error: _MEANINGS.failed,
        TimeoutError: _MEANINGS.late,
        **_all(lib.others, _MEANINGS.failed),
        AttributeError: _closed_to_readers,
    }


def _closed_to_readers(error: AttributeError) -> Exception | None:
    return _MEANINGS.failed(_CLOSED) if error.name == "_connection" else None


def _access_denied(error: Exception) -> NoServer:
    return NoServer(f"eventstoredb: {_described(error)}")


@cache
def _connections() -> Table:
    lib = library()
    denied = lib.errors("AccessDeniedError", "UnauthenticatedError")
    return {
        **dict.fromkeys(denied, _access_denied),
        lib.any_error: _not_connected,
        **_all(lib.others, _MEANINGS.not_connected),
    }


def _not_connected(error: Exception) -> StoreUnavailable | NoServer:
    status = _STATUS.search(str(error))
    if status is not None and status[1] in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return _access_denied(error)
    return _MEANINGS.not_connected(error)


def _nothing_sent(error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(f"nothing was sent: {_described(error)}")


def _version_unknown(error: BaseException) -> OutcomeUnknown:
    return OutcomeUnknown(f"acknowledged, but its version is not known: {_described(error)}")


def _not_set_up(error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(f"setup: {_described(error)}")


def _every(meaning: Meaning) -> Mapped:
    """Maps whatever leaves the library's calls to one meaning."""
    return Mapped(lambda: {library().any_error: meaning, **_all(library().others, meaning)})


def _described(error: BaseException) -> str:
    """The error in one line, without the trace that gRPC adds."""
    text = str(error)
    details = re.search(r'details = "([^"]*)"', text)
    message = details[1] if details else text.splitlines()[0] if text.strip() else ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


_MEANINGS = Meanings("EventStoreDB", _described)
CONNECTING = Mapped(_connections)
READING = Mapped(_reads)
LOOKING = _every(_nothing_sent)
"""Maps the errors of reads that precede an append."""
LOOKING_BACK = _every(_version_unknown)
"""Maps the errors of reads that follow an acknowledged append."""
SETTING_UP = _every(_not_set_up)
BUILDING = Mapped(lambda: {ValueError: _refused})
"""Maps the errors of making a request: text that is no Unicode, a number that has no place."""
