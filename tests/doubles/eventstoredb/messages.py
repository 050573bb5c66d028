"""The double's state as protocol messages, and requests as what the state understands."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from google.protobuf import any_pb2

from .library import persistent_pb2, shared_pb2, status_pb2, streams_pb2
from .log import LINK_TYPE, Event, Log

UNKNOWN_CODE = 2
"""`google.rpc.Code.UNKNOWN`, which stands in every refused batch append."""


def recorded(event: Event, module: Any = streams_pb2) -> Any:
    """`ReadResp.ReadEvent.RecordedEvent`."""
    return module.ReadResp.ReadEvent.RecordedEvent(
        id=shared_pb2.UUID(string=event.id),
        stream_identifier=shared_pb2.StreamIdentifier(stream_name=event.stream.encode()),
        stream_revision=event.version,
        prepare_position=event.position,
        commit_position=event.position,
        metadata=event.metadata,
        custom_metadata=event.custom_metadata,
        data=event.data,
    )


def read_event(log: Log, event: Event, *, resolve: bool, module: Any = streams_pb2) -> Any:
    """`ReadResp`, a link with the event that it points to where that was asked for."""
    found = module.ReadResp.ReadEvent(commit_position=event.position)
    target = _target(log, event) if resolve and event.metadata["type"] == LINK_TYPE else None
    if target is None:
        found.event.CopyFrom(recorded(event, module))
    else:
        found.event.CopyFrom(recorded(target, module))
        found.link.CopyFrom(recorded(event, module))
        found.commit_position = event.position
    return module.ReadResp(event=found)


def _target(log: Log, link: Event) -> Event | None:
    version, _, stream = link.data.decode().partition("@")
    return log.streams[stream].events[int(version)]


def matching(options: Any) -> Callable[[Event], bool]:
    """The filter of a read or a subscription."""
    if options.WhichOneof("filter_option") != "filter":
        return lambda _: True
    which = options.filter.WhichOneof("filter")
    pattern = re.compile(getattr(options.filter, which).regex)
    if which == "stream_identifier":
        return lambda event: pattern.search(event.stream) is not None
    return lambda event: pattern.search(event.metadata["type"]) is not None


def name_of(options: Any) -> str:
    """The stream's name in any options."""
    return str(options.stream_identifier.stream_name.decode())


def expected_of(options: Any, oneof: str) -> Any:
    """A revision, or one of the three words."""
    which = options.WhichOneof(oneof)
    return getattr(options, which) if which in ("revision", "stream_position") else which


def accepted(correlation: Any, event: Event) -> Any:
    """`BatchAppendResp.Success`, with the revision and the position of the last event."""
    success = streams_pb2.BatchAppendResp.Success(
        current_revision=event.version,
        position=shared_pb2.AllStreamPosition(
            commit_position=event.position, prepare_position=event.position
        ),
    )
    return streams_pb2.BatchAppendResp(correlation_id=correlation, success=success)


def refused(correlation: Any, why: Any) -> Any:
    """A `Status` whose details say what is wrong. Source: `status.proto`, `shared.proto`."""
    details = any_pb2.Any()
    details.Pack(why)
    return refused_as(correlation, details)


def refused_as(correlation: Any, details: Any) -> Any:
    """The same with a detail that the client's library may not know."""
    message = details.type_url.rpartition(".")[2]
    status = status_pb2.Status(code=UNKNOWN_CODE, message=message, details=details)
    return streams_pb2.BatchAppendResp(correlation_id=correlation, error=status)


def wrong_version(actual: int | None) -> Any:
    """`WrongExpectedVersion`: the head, or that there is no stream."""
    if actual is None:
        return shared_pb2.WrongExpectedVersion(current_no_stream=_empty())
    return shared_pb2.WrongExpectedVersion(current_stream_revision=actual)


def confirmation(subscription_id: str = "double", module: Any = streams_pb2) -> Any:
    """The first answer of a subscription."""
    confirmed = module.ReadResp.SubscriptionConfirmation(subscription_id=subscription_id)
    field = "confirmation" if module is streams_pb2 else "subscription_confirmation"
    return module.ReadResp(**{field: confirmed})


def after(events: list[Event], position: int) -> list[Event]:
    """Those after a position, in order."""
    return events[bisect_right(events, position, key=lambda event: event.position) :]


def _empty() -> Any:
    field = shared_pb2.WrongExpectedVersion.DESCRIPTOR.fields_by_name["current_no_stream"]
    return field.message_type._concrete_class()


__all__ = [
    "accepted", "after", "confirmation", "expected_of", "matching", "name_of", "persistent_pb2",
    "read_event", "refused", "refused_as", "wrong_version",
]  # fmt: skip
