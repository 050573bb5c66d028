"""EventStoreDB's adapter: each error of the installed client, and each status of gRPC, mapped.

The question of an append is whether it was written. Whatever is raised before it is sent, it was
not; afterwards only what the server refuses by name was not, and all else is unknown.
"""

from __future__ import annotations

import asyncio
import importlib.util

import pytest

from harness.domain.errors import (
    AppendRefused,
    EventIdReused,
    EventTooLarge,
    NoServer,
    NotWritten,
    OutcomeUnknown,
    ReadFailed,
    StoreUnavailable,
    WrongExpectedVersion,
)
from harness.domain.store import StreamState

if not any(map(importlib.util.find_spec, ("esdbclient", "kurrentdbclient"))):
    pytest.skip("pip install 'eventstore-lab[eventstoredb]'", allow_module_level=True)

from google.protobuf.any_pb2 import Any as Detail
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata, UsageError

from harness.stores.eventstoredb import client

LIBRARY = client.library()
CLASSES = [
    kind
    for kind in vars(LIBRARY.exceptions).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
]
NOT_WRITTEN = {
    "WrongCurrentVersion", "MaximumAppendSizeExceeded", "AccessDenied", "StreamIsDeleted",
    "InvalidTransaction", "BadRequest", "Unauthenticated", "InvalidArgument", "NodeIsNotLeader",
    "RecordMaxSizeExceeded", "SSL",
}  # fmt: skip
"""Names without Error. All others leave open whether the append was written."""
REFUSING = {
    StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED, StatusCode.UNIMPLEMENTED,
    StatusCode.INVALID_ARGUMENT,
}  # fmt: skip
OTHERS = [
    OSError("x"), TimeoutError(), AssertionError("x"), ValueError("x"), UsageError("closed"),
    asyncio.InvalidStateError("x"), UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogate"),
    asyncio.CancelledError(),
]  # fmt: skip


def instance(kind: type[Exception]) -> Exception:
    """One with a text; some want more than that when they are made."""
    text = "SSL_ERROR_SSL" if kind.__name__ == "SSLError" else "some text"
    return Exception.__new__(kind, text)


def of_grpc(code: StatusCode, details: str = "x", raw: bool = False) -> Exception:
    """As the client raises it, or as gRPC does."""
    error = AioRpcError(code, Metadata(), Metadata(), details, "debug")
    return error if raw else LIBRARY.common.handle_rpc_error(error)


def leaving(block: client.Mapped, error: BaseException) -> BaseException:
    """What leaves the block for an error in it."""
    try:
        with block:
            raise error  # noqa: TRY301 - what a client does
    except BaseException as left:
        return left


def sent(error: BaseException, expected=0, events: int = 2) -> BaseException:
    return leaving(client.appending("order-1", expected, events), error)


EVERY = [*map(instance, CLASSES), *OTHERS]
STATUSES = [of_grpc(code, raw=raw) for code in StatusCode for raw in (False, True) if code.value[0]]


@pytest.mark.parametrize(
    "error", [*EVERY, *STATUSES], ids=lambda e: f"{type(e).__name__} {e!r:.60}"
)
async def test_whatever_is_raised_before_an_append_is_sent_it_was_not_written(error):
    assert isinstance(leaving(client.LOOKING, error), NotWritten)
    assert isinstance(leaving(client.SETTING_UP, error), StoreUnavailable)
    assert isinstance(leaving(client.CONNECTING, error), StoreUnavailable | NoServer)
    assert isinstance(leaving(client.LOOKING_BACK, error), OutcomeUnknown)
    assert isinstance(leaving(client.READING, error), ReadFailed)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_after_sending_only_a_refusal_by_name_is_not_written(kind):
    named = {base.__name__.removesuffix("Error") for base in kind.__mro__}
    wanted = NotWritten if named & NOT_WRITTEN else OutcomeUnknown
    assert isinstance(sent(instance(kind)), wanted)


@pytest.mark.parametrize("raw", [False, True], ids=["the client's", "gRPC's own"])
@pytest.mark.parametrize("code", [code for code in StatusCode if code.value[0]])
def test_after_sending_a_status_is_unknown_unless_it_comes_before_any_write(code, raw):
    wanted = NotWritten if code in REFUSING else OutcomeUnknown
    assert isinstance(sent(of_grpc(code, raw=raw)), wanted)


@pytest.mark.parametrize("error", OTHERS, ids=repr)
async def test_after_sending_any_other_error_is_unknown(error):
    assert isinstance(sent(error), OutcomeUnknown)


def test_the_text_of_an_error_tells_the_head_sizes_and_whether_there_was_a_connection():
    conflict = LIBRARY.error("WrongCurrentVersion")("Stream position of last event is 2 not 0")
    told = sent(conflict)
    assert isinstance(told, WrongExpectedVersion)
    assert told.actual == 2
    assert isinstance(sent(conflict, StreamState.ANY), EventIdReused)
    for text in (
        "SERVER: Received message larger than max (17000000 vs. 16777216)",
        "Received message exceeds the maximum configured message size.",
    ):
        too_large = sent(of_grpc(StatusCode.RESOURCE_EXHAUSTED, text), events=1)
        assert isinstance(too_large, EventTooLarge)
    for text in ("failed to connect to all addresses", "Received RST_STREAM with error code 7"):
        assert isinstance(sent(of_grpc(StatusCode.UNAVAILABLE, text)), StoreUnavailable)


def test_a_detail_that_neither_client_knows_is_an_event_that_is_too_large():
    url = "type.googleapis.com/event_store.client.MaximumAppendEventSizeExceeded"
    assert isinstance(sent(LIBRARY.any_error(Detail(type_url=url))), EventTooLarge)
    other = LIBRARY.any_error(Detail(type_url="type.googleapis.com/event_store.client.Timeout"))
    assert isinstance(sent(other), OutcomeUnknown)


def test_text_that_is_no_unicode_is_refused_where_a_request_is_made():
    assert isinstance(leaving(client.BUILDING, OTHERS[6]), AppendRefused)


@pytest.mark.parametrize("code", [code for code in StatusCode if code.value[0]])
def test_the_status_of_a_shared_call_says_nothing_of_an_append_unless_the_call_was_refused(code):
    whole = client.is_about_the_call(of_grpc(code))
    assert whole == (code in REFUSING - {StatusCode.INVALID_ARGUMENT})


async def test_a_cancellation_that_was_asked_for_stays_one():
    async def appended():
        with client.appending("order-1", 0, 1):
            await asyncio.sleep(10)

    task = asyncio.create_task(appended())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_bug_of_the_adapter_leaves_the_block_as_it_is():
    for bug in (AttributeError("'X' has no attribute 'y'"), KeyError("x"), TypeError("x")):
        assert sent(bug) is bug
