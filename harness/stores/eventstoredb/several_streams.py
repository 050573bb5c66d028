"""KurrentDB's `AppendRecords`: one append to any streams, on condition of the state of any.

The client of EventStoreDB does not know this call, so it is made here, over the client's channel.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from harness.domain.errors import (
    AppendRefused,
    BatchTooLarge,
    EventTooLarge,
    UnsupportedByStore,
)
from harness.domain.store import ExpectedVersion, NewEvent, StreamState
from harness.stores._shared.drivers import lazy
from harness.stores._shared.protocol_file import ProtocolFile
from harness.stores.eventstoredb.client import library
from harness.stores.eventstoredb.session import Session

if TYPE_CHECKING:
    import grpc
else:
    grpc = lazy("grpc", extra="eventstoredb")

PROTOCOL = ProtocolFile(Path(__file__).with_name("several_streams.proto"), extra="eventstoredb")

NO_STREAM, EXISTS = -1, -4
"""The states of a stream that an append may expect beside its version."""
CALL_BYTES_MAX = 30_000_000
"""Of all records: above, the server's answer does not say whether it wrote."""
_BYTES = 4
"""The schema's format."""
_CARRIED = re.compile(r"[A-Za-z0-9_.$:-]+")
_HEX = "eslab.hex:"
_TEXT, _BASE64 = "metadata", "metadata.base64"
_DETAILS = "grpc-status-details-bin"
_VIOLATION = "AppendConsistencyViolationErrorDetails"
_TOO_LARGE: Mapping[str, type[AppendRefused]] = {
    "AppendRecordSizeExceededErrorDetails": EventTooLarge,
    "AppendTransactionSizeExceededErrorDetails": BatchTooLarge,
}
_REFUSALS = (
    "StreamTombstonedErrorDetails", "StreamDeletedErrorDetails", "NotLeaderNodeErrorDetails",
)  # fmt: skip
"""What else than a conflict is a precondition that does not hold."""
_MISSING = (
    "the server has no atomic append to several streams (AppendRecords): KurrentDB 26.1 or later"
)


def messages() -> SimpleNamespace:
    """The classes of all messages, by name."""
    return PROTOCOL.messages


class Conflict(Exception):
    """A check does not hold, or an append is known in part. Nothing was written."""

    def __init__(self, states: Mapping[str, int]) -> None:
        super().__init__(f"states of streams: {dict(states)}")
        self.states = states
        """Of the streams whose checks fail; of none where the server did not say."""


@dataclass(frozen=True, slots=True)
class Written:
    """The version of each stream's last event, and the position of the last record."""

    versions: Mapping[str, int]
    position: int


class Appender:
    """Makes the call, on the connection of a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._connection: Any = None
        self._stub = SimpleNamespace()

    async def require(self) -> None:
        """Raises `UnsupportedByStore` if the server does not know the call.

        It is sent nothing to write; whatever else is answered, the call is known.
        """
        try:
            await self._call(b"")
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise UnsupportedByStore(_MISSING) from None

    async def append(self, records: Sequence[Any], checks: Mapping[str, int]) -> Written:
        """All records or none. Raises `Conflict`, a `StoreError`, or the client's own errors."""
        kinds = messages()
        request = kinds.AppendRecordsRequest(
            records=records,
            checks=[
                kinds.ConsistencyCheck(
                    stream_state=kinds.StreamStateCheck(stream=name, expected_state=state)
                )
                for name, state in checks.items()
            ],
        ).SerializeToString()
        if len(request) > CALL_BYTES_MAX:
            kind = EventTooLarge if len(records) == 1 else BatchTooLarge
            raise kind(f"{len(request):,} bytes: a call takes {CALL_BYTES_MAX:,}")
        async with self._session.turn():
            try:
                response = await self._call(request)
            except grpc.aio.AioRpcError as error:
                raise _meaning(error) from error
        versions = {each.stream: each.revision for each in response.revisions}
        return Written(versions, response.position)

    async def _call(self, request: bytes) -> Any:
        client = self._session.client
        connection = client._connection
        if connection is not self._connection:
            self._connection, self._stub = connection, PROTOCOL.stub(connection._grpc_channel)
        return await self._stub.AppendRecords(
            request,
            timeout=self._session.options.deadline_s,
            metadata=connection.streams._metadata(client._call_metadata, requires_leader=True),
            credentials=client._call_credentials,
        )


def state_of(expected: ExpectedVersion) -> int | None:
    """The state that a check asks for; `None` where nothing is expected."""
    if isinstance(expected, int):
        return expected
    return {StreamState.NO_STREAM: NO_STREAM, StreamState.EXISTS: EXISTS}.get(expected)


def record(
    event: NewEvent,
    stream: str = "",
    *,
    id_: UUID | None = None,
    strings: Mapping[str, str] | None = None,
) -> Any:
    """An event as the protocol has it, with strings of the lab's own beside its metadata.

    Raises `AppendRefused` for an empty type, `ValueError` for text that is no Unicode.
    """
    kinds = messages()
    properties = {**_metadata(event.metadata), **(strings or {})}
    return kinds.AppendRecord(
        record_id=str(id_ or event.id),
        properties=[
            kinds.PropertiesEntry(key=key, value=kinds.Value(string_value=value))
            for key, value in properties.items()
        ],
        schema=kinds.SchemaInfo(format=_BYTES, name=_schema_of(event.type)),
        data=event.data,
        stream=stream,
    )


def type_of(schema: str) -> str:
    """The event's type. Raises `ValueError` for a schema's name that nobody here has made."""
    return bytes.fromhex(schema[len(_HEX) :]).decode() if schema.startswith(_HEX) else schema


def strings_of(metadata: bytes) -> dict[str, str]:
    """What was written beside the event: the server reads it out as JSON, with keys of its own.

    Raises `ValueError` for anything else.
    """
    found = json.loads(metadata or b"{}")
    return {key: value for key, value in found.items() if isinstance(value, str)}


def metadata_of(strings: Mapping[str, str]) -> bytes:
    """The event's own metadata, to the byte."""
    if _BASE64 in strings:
        return base64.b64decode(strings[_BASE64])
    return strings.get(_TEXT, "").encode()


def _metadata(metadata: bytes) -> dict[str, str]:
    """As text where the bytes are text, so that others can read it."""
    if not metadata:
        return {}
    try:
        return {_TEXT: metadata.decode()}
    except UnicodeDecodeError:
        return {_BASE64: base64.b64encode(metadata).decode()}


def _schema_of(type_: str) -> str:
    """The type, where the protocol can carry it, and else its bytes in hex."""
    if not type_:
        raise AppendRefused("an event's type must not be empty")
    if _CARRIED.fullmatch(type_) and not type_.startswith(_HEX):
        return type_
    return _HEX + type_.encode().hex()


def _meaning(error: Any) -> Exception:
    """A refusal as what it says; anything else as the client's own exception."""
    code, name, details = error.code(), error.code().name, _details(error)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return UnsupportedByStore(_MISSING)
    for detail, kind in _TOO_LARGE.items():
        if detail in details:
            return kind(f"{name}: {error.details()}")
    if code is grpc.StatusCode.FAILED_PRECONDITION:
        refusal = next((each for each in _REFUSALS if each in details), "")
        if refusal:
            return AppendRefused(f"{name}: {error.details()}", reason=refusal)
        return Conflict(_states(details.get(_VIOLATION, b"")))
    meaning: Exception = library().common.handle_rpc_error(error)
    return meaning


def _details(error: Any) -> dict[str, bytes]:
    """What the server sent beside the code, by the names of the messages."""
    trailing = dict(tuple(each) for each in error.trailing_metadata() or ())
    status = messages().Status.FromString(trailing.get(_DETAILS, b""))
    return {each.type_url.rpartition(".")[2]: each.value for each in status.details}


def _states(violation: bytes) -> dict[str, int]:
    found = messages().AppendConsistencyViolationErrorDetails.FromString(violation)
    states = (each.stream_state for each in found.violations)
    return {each.stream: each.actual_state for each in states}
