"""The double's `AppendRecords`, of the second protocol, as KurrentDB 26.1.0 answered it."""

from __future__ import annotations

import json
import re
from typing import Any

import grpc

from harness.stores.eventstoredb.several_streams import PROTOCOL, messages

from .log import Record, StreamIsDeleted, Violations
from .state import State

CALL_BYTES_MAX = 30_000_000
_TYPE = re.compile(r"[A-Za-z0-9_.$:-]+")
_JSON = 1
_PACKAGE = "type.googleapis.com/kurrentdb.protocol.v2.streams.errors"
_FAILED = "Exception was thrown by handler."


class SeveralStreams:
    """The service `StreamsService`. Not its `AppendSession`, which the adapter does not call."""

    def __init__(self, state: State) -> None:
        self._state = state

    def handler(self) -> Any:
        """For a server of gRPC."""
        service, _, name = PROTOCOL.path("AppendRecords").strip("/").partition("/")
        made = grpc.unary_unary_rpc_method_handler(
            self._append,
            request_deserializer=messages().AppendRecordsRequest.FromString,
            response_serializer=messages().AppendRecordsResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(service, {name: made})

    async def _append(self, request: Any, context: Any) -> Any:
        await self._state.gate(context)
        await self._state.require_writable(context)
        await self._require_takeable(request, context)
        records = [_record(one) for one in request.records]
        checks = [(c.stream_state.stream, c.stream_state.expected_state) for c in request.checks]
        try:
            revisions, position = self._state.log.append_records(records, checks)
        except Violations as found:
            await _refuse(context, grpc.StatusCode.FAILED_PRECONDITION, _described(found))
        except StreamIsDeleted:
            why = f"{_PACKAGE}.StreamTombstonedErrorDetails", b""
            await _refuse(context, grpc.StatusCode.FAILED_PRECONDITION, why)
        await self._state.wake()
        kind = messages().StreamRevision
        return messages().AppendRecordsResponse(
            revisions=[kind(stream=name, revision=last) for name, last in revisions.items()],
            position=position,
        )

    async def _require_takeable(self, request: Any, context: Any) -> None:
        """What servers take of names, types, metadata and sizes."""
        if request.ByteSize() > CALL_BYTES_MAX or not all(one.stream for one in request.records):
            await context.abort(grpc.StatusCode.UNKNOWN, _FAILED)
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        if not request.records:
            await context.abort(invalid, "records: must not be empty")
        largest = self._state.release.event_bytes or CALL_BYTES_MAX
        for one in request.records:
            if not _TYPE.fullmatch(one.schema.name):
                await context.abort(invalid, "schema.name: letters, digits and _ . $ : -")
            if not all(each.value.HasField("string_value") for each in one.properties):
                await context.abort(invalid, "properties: values must be strings")
            if len(one.data) > largest:
                why = f"{_PACKAGE}.AppendRecordSizeExceededErrorDetails", b""
                await _refuse(context, invalid, why)


def _record(one: Any) -> Record:
    """Metadata is read back as JSON, with the schema's name and format among it."""
    is_json = one.schema.format == _JSON
    told = {each.key: each.value.string_value for each in one.properties}
    told |= {"$schema.name": one.schema.name, "$schema.format": "Json" if is_json else "Bytes"}
    content = "application/json" if is_json else "application/octet-stream"
    return Record(
        stream=one.stream,
        id=one.record_id,
        metadata={"type": one.schema.name, "content-type": content},
        custom_metadata=json.dumps(told).encode(),
        data=one.data,
    )


def _described(found: Violations) -> tuple[str, bytes]:
    kinds = messages()
    details = kinds.AppendConsistencyViolationErrorDetails(
        violations=[
            kinds.ConsistencyViolation(
                check_index=each.index,
                stream_state=kinds.StreamStateViolation(
                    stream=each.stream, expected_state=each.expected, actual_state=each.actual
                ),
            )
            for each in found.violated
        ]
    )
    return f"{_PACKAGE}.AppendConsistencyViolationErrorDetails", details.SerializeToString()


async def _refuse(context: Any, code: grpc.StatusCode, why: tuple[str, bytes]) -> None:
    """End the call with a code and, beside it, what the code is about."""
    url, value = why
    said = url.rpartition(".")[2]
    detail = messages().Any(type_url=url, value=value)
    status = messages().Status(code=code.value[0], message=said, details=[detail])
    trailing = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(code, said, trailing_metadata=trailing)
