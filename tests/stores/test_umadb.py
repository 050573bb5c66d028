"""UmaDB: what its real server answers, as the adapter relies on it, and what the adapter adds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from harness.domain.costs import DATA_BYTES
from harness.domain.errors import (
    AppendRefused,
    BatchTooLarge,
    EventIdReused,
    EventTooLarge,
    NotWritten,
    OutcomeUnknown,
    StoreError,
    StoreUnavailable,
    WrongExpectedVersion,
)
from harness.domain.store import Endpoint
from harness.servers import Server, probe, serving
from harness.stores.umadb import STORE, client
from harness.stores.umadb.client import CONFLICT_RETRIES, Client, Conflict, none_after, query
from harness.stores.umadb.namespace import HEADS_MAX, Head, Heads
from harness.stores.umadb.protocol import PROTOCOL, messages

from .contract.support import ANY, EXISTS, NO_STREAM, append, event, events, only, read
from .subject import Subject, fresh, opened

grpc = pytest.importorskip("grpc")
MIB = 1024 * 1024
DESIGNS = tuple(STORE.variants)


@pytest.fixture
def umadb(servers) -> Server:
    """A real one, shared by the session."""
    return servers("umadb")


@asynccontextmanager
async def talking(server: Server) -> AsyncIterator[Client]:
    """The bare protocol."""
    talker = Client(server.endpoint, 10.0)
    try:
        yield talker
    finally:
        await talker.aclose()


@asynccontextmanager
async def streams(server: Server, design: str = "") -> AsyncIterator[Subject]:
    """The adapter on a namespace of its own."""
    adapter = STORE.variants[design]
    async with opened(adapter, STORE.options(), fresh(server.endpoint), server) as subject:
        yield subject


def bare(*tags: str, data: bytes = b"x", **how: object):
    """An event as the protocol has it."""
    return messages().Event(
        **{"event_type": "T", "tags": tags, "data": data, "uuid": str(uuid4()), **how}
    )


async def code_of(talker: Client, batch: Sequence[object], condition: object = None) -> str:
    """The code with which the server refuses an append."""
    with pytest.raises((grpc.aio.AioRpcError, Conflict)) as refused:
        await talker.append(batch, condition)
    error = refused.value.__cause__ or refused.value
    return error.code().name


async def positions(talker: Client, *tags: str) -> list[int]:
    return [each.position async for each in talker.read(query=query(tags))]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("size", [1, 3 * MIB])
@pytest.mark.parametrize("count", [0, 1, 300])
async def test_a_read_of_one_event_is_answered_in_one_message(umadb, count, size, backwards):
    """`read_one` would wait for ever otherwise."""
    async with talking(umadb) as talker:
        tag = f"s:{uuid4()}"
        batch = [bare(tag, data=b"x" * (size if number in (0, count - 1) else 1))
                 for number in range(count)]  # fmt: skip
        for event_ in batch:
            await talker.append([event_], None)
        how = {"query": query([tag]), "backwards": backwards}
        asked = messages().ReadRequest(limit=1, **how)
        told = [message async for message in talker._stream("Read", asked)]
        assert [len(message.events) for message in told] == [min(count, 1)]
        found = await talker.read_one(**how)
        assert (found and found.event) == (batch[-1 if backwards else 0] if batch else None)


async def test_no_message_at_all_is_no_event_on_a_double():
    """The server sends an empty one; another version need not."""

    async def silent(request: bytes, context: object) -> AsyncIterator[bytes]:
        del request, context
        for nothing in ():
            yield nothing

    double = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(silent)
    service, _, name = PROTOCOL.path("Read").strip("/").partition("/")
    double.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {name: handler}),)
    )
    port = double.add_insecure_port("127.0.0.1:0")
    await double.start()
    talker = Client(Endpoint(f"grpc://127.0.0.1:{port}"), 10.0)
    try:
        assert await talker.read_one(query=query(["s:1"])) is None
    finally:
        await talker.aclose()
        await double.stop(None)


async def test_a_retry_is_recognised_by_the_ids_that_match_its_condition(umadb):
    """In their order, from the first on, as many as are sent: not by what is in them."""
    async with talking(umadb) as talker:
        tag = f"s:{uuid4()}"
        condition = none_after(None, [tag])
        a, b, c = bare(tag), bare(tag), bare(tag)
        other = bare(tag, data=b"other", uuid=a.uuid)
        last = await talker.append([a, b], condition)
        assert await talker.append([a, b], condition) == last
        assert await talker.append([other, b], condition) == last
        assert await talker.append([a], condition) == last - 1
        for batch in ([b], [b, a], [a, b, c], [c]):
            assert await code_of(talker, batch, condition) == "FAILED_PRECONDITION"
        assert await positions(talker, tag) == [last - 1, last]
        assert (
            await talker.append([a], None) == last + 1
        )  # without a condition nothing is recognised
        assert len(await positions(talker, tag)) == 3


async def test_positions_are_dense_over_the_whole_log_and_refusals_take_none(umadb):
    async with talking(umadb) as talker:
        tag = f"s:{uuid4()}"
        first = await talker.append([bare(tag)], None)
        await code_of(talker, [bare(tag)], none_after(None, [tag]))
        assert await talker.append([bare("other"), bare(tag)], None) == first + 2
        assert await talker.append([bare()] * 10_000, None) == first + 10_002
        assert await talker.head() == first + 10_002


async def test_a_message_of_four_mebibytes_is_the_most_whatever_is_in_it(umadb):
    async with talking(umadb) as talker:
        room = 4 * MIB - messages().AppendRequest(events=[bare(data=b"x" * 4 * MIB)]).ByteSize()
        size = 4 * MIB + room
        assert messages().AppendRequest(events=[bare(data=b"x" * size)]).ByteSize() == 4 * MIB
        position = await talker.append([bare(data=b"x" * size)], None)
        # The answer is longer than the request was, and than gRPC's clients take by default.
        assert [len(e.event.data) async for e in talker.read(start=position, limit=1)] == [size]
        assert await code_of(talker, [bare(data=b"x" * (size + 1))]) == "OUT_OF_RANGE"
        assert await code_of(talker, [bare(data=b"x" * MIB)] * 4) == "OUT_OF_RANGE"


async def test_what_else_is_too_large_is_an_invalid_argument(umadb):
    async with talking(umadb) as talker:
        entry = messages().MetadataEntry
        for refused in (
            bare("y" * 70_000),
            bare(event_type="y" * 70_000),
            bare(metadata=[entry(key="k", value="y" * 65_536)]),
            bare(metadata=[entry(key="k", value="1"), entry(key="k", value="2")]),
        ):
            assert await code_of(talker, [refused]) == "INVALID_ARGUMENT"
        taken = bare("y" * 3_000, metadata=[entry(key="k", value="y" * 65_535)])
        assert await talker.append([taken], None)


async def test_a_source_s_position_is_written_with_the_events_and_only_grows(umadb):
    async with talking(umadb) as talker:
        source, tag = f"eslab-{uuid4()}", f"s:{uuid4()}"
        kinds = messages()

        async def tell(position: int, *batch: object, condition: object = None) -> int:
            info = kinds.TrackingInfo(source=source, position=position)
            request = kinds.AppendRequest(events=batch, condition=condition, tracking_info=info)
            return (await talker._call("Append", request)).position

        async def told() -> int:
            request = kinds.TrackingRequest(source=source)
            return (await talker._call("GetTrackingInfo", request)).position

        await tell(5, bare(tag))
        assert await told() == 5
        for position, condition in ((5, None), (4, None), (6, none_after(None, [tag]))):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await tell(position, bare(tag), condition=condition)
            assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert (await told(), len(await positions(talker, tag))) == (5, 1)
        assert await tell(7) == 0  # an append of nothing is answered with 0
        assert await told() == 7


@pytest.mark.skipif(not probe("umadb", "native").ready, reason="native umadb: not here")
def test_an_append_of_nothing_under_a_condition_that_does_not_hold_ends_the_server(
    runner, tmp_path
):
    """Version 0.7.8: the adapter sends none at all."""

    async def provoke() -> None:
        async with serving("umadb", way="native", scratch=tmp_path) as own:
            async with talking(own) as talker:
                await talker.append([bare("s:1")], None)
                assert await talker.append([], None) == 0
                assert await code_of(talker, [], none_after(None, ["s:1"])) == "UNAVAILABLE"
            await own.restart()
            async with talking(own) as talker:
                assert await talker.head() == 1

    runner.run(provoke())


def test_the_protocol_file_is_read_as_the_protobuf_compiler_reads_it(tmp_path):
    protoc = pytest.importorskip("grpc_tools.protoc")
    descriptors = pytest.importorskip("google.protobuf.descriptor_pb2")
    compiled = tmp_path / "compiled"
    source = PROTOCOL.file
    arguments = ["protoc", f"-I{source.parent}", f"--descriptor_set_out={compiled}", str(source)]
    assert protoc.main(arguments) == 0
    (file,) = descriptors.FileDescriptorSet.FromString(compiled.read_bytes()).file
    file.ClearField("service")
    for message in file.message_type:
        for field in message.field:
            field.ClearField("json_name")
    assert PROTOCOL.described() == file


WITHOUT = """
import sys
class Nothing:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "google":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nothing)
from harness.domain.errors import MissingExtra
from harness.stores import kinds
print(kinds()["umadb"].summary)
from harness.stores.umadb.protocol import messages
try:
    messages()
except MissingExtra as error:
    print(error)
"""


def test_without_the_protobuf_library_the_store_is_listed_and_one_line_says_what_to_install():
    command = [sys.executable, "-c", WITHOUT]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    summary, missing = answer.stdout.splitlines()
    assert summary == STORE.summary
    assert missing == "the driver protobuf is not installed; pip install 'eventstore-lab[umadb]'"


@pytest.mark.parametrize("design", DESIGNS)
async def test_a_retry_under_what_it_expected_is_recognised_whatever_came_after(umadb, design):
    async with streams(umadb, design) as subject:
        await append(subject.store, "order-1", events(2), expected=NO_STREAM)
        batch = events(3)
        told = await append(subject.store, "order-1", batch, expected=1)
        for _ in range(3):
            await append(subject.store, "order-1", events(2))
        elsewhere = await subject.connect()
        for store in (subject.store, elsewhere):
            assert await append(store, "order-1", batch, expected=1) == told
        with pytest.raises(WrongExpectedVersion) as conflict:
            await append(elsewhere, "order-1", events(1), expected=1)
        assert conflict.value.actual == 10
        assert len(await read(subject.store, "order-1")) == 11


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("expected", [ANY, EXISTS], ids=str)
async def test_a_retry_at_the_head_is_recognised_while_it_is_the_newest(umadb, design, expected):
    async with streams(umadb, design) as subject:
        await append(subject.store, "order-1")
        batch = events(3)
        told = await append(subject.store, "order-1", batch, expected=expected)
        elsewhere = await subject.connect()
        for store in (subject.store, elsewhere):
            assert await append(store, "order-1", batch, expected=expected) == told
            for part in ([batch[2], event()], [event(), batch[2], event()]):
                with pytest.raises(EventIdReused):
                    await append(store, "order-1", part, expected=expected)
        await append(subject.store, "order-1")
        assert await append(elsewhere, "order-1", batch, expected=expected) == told
        again = await append(subject.store, "order-1", batch, expected=expected)
        assert again.version == told.version + 4  # beyond the window: written again


@pytest.mark.parametrize("design", DESIGNS)
async def test_what_came_first_is_looked_through_for_the_same_append(umadb, design):
    """The connection remembers a head from before: its first try is a conflict, and counted."""
    async with streams(umadb, design) as subject:
        await append(subject.store, "order-1")
        elsewhere, batch = await subject.connect(), events(2)
        await append(elsewhere, "order-1")
        told = await append(elsewhere, "order-1", batch)
        await append(elsewhere, "order-1", events(2))
        assert await append(subject.store, "order-1", batch) == told
        assert subject.store.costs()[CONFLICT_RETRIES] == 1
        assert (await append(subject.store, "order-1")).version == 6
        assert len(await read(subject.store, "order-1")) == 7


async def test_what_is_too_large_has_its_own_error(umadb):
    async with streams(umadb) as subject:
        with pytest.raises(EventTooLarge, match="OUT_OF_RANGE"):
            await append(subject.store, "order-1", [event(b"x" * 4 * MIB)])
        with pytest.raises(BatchTooLarge, match="OUT_OF_RANGE"):
            await append(subject.store, "order-1", [event(b"x" * MIB) for _ in range(4)])
        limit = subject.declared.event_limit_bytes
        with pytest.raises(AppendRefused, match="too large for page size"):
            await append(subject.store, "o" * 3_000)
        for malformed in (event(type="\ud800"), event(type="T" * 70_000)):
            with pytest.raises(AppendRefused):
                await append(subject.store, "order-1", [malformed])
        assert await read(subject.store, "order-1") == []
        await append(subject.store, "order-1", [event(b"x" * limit, metadata=b"m" * 30_000)])
        assert len(only(await read(subject.store, "order-1")).data) == limit


@pytest.mark.parametrize("size", [1_000, 100_000, 3_500_000])
async def test_a_conflict_with_an_event_of_any_size_is_one(umadb, size):
    """The server's refusal repeats the event that matched, some ten times its size."""
    async with streams(umadb) as subject:
        await append(subject.store, "order-1", [event(b"\xff" * size)])
        with pytest.raises(WrongExpectedVersion) as conflict:
            await append(subject.store, "order-1", expected=NO_STREAM)
        assert conflict.value.actual == 0
        elsewhere = await subject.connect()
        await append(elsewhere, "order-1", [event(b"\xff" * size)])
        assert (await append(subject.store, "order-1")).version == 2


async def test_metadata_longer_than_one_string_comes_back(umadb):
    async with streams(umadb) as subject:
        for metadata in (b"a" * 65_536, b"\xff" * 70_000, "ж\U0001f600".encode() * 30_000, b"\0"):
            await append(subject.store, "order-1", [event(metadata=metadata)])
            assert (await read(subject.store, "order-1"))[-1].metadata == metadata


async def test_labs_on_one_server_are_listed_until_they_are_torn_down(umadb):
    async with streams(umadb) as subject:
        name = subject.endpoint.namespace
        assert name in await subject.store.namespaces()
        await subject.store.teardown()
        assert name not in await subject.store.namespaces()
        with pytest.raises(NotWritten, match="was not set up"):
            await append(subject.store, "order-1")


async def test_the_pages_in_use_are_counted_not_the_length_of_the_file(umadb):
    if umadb.endpoint.provider != "native":
        pytest.skip("umadb: not a process of the lab's own")
    async with streams(umadb) as subject:
        before = (await subject.store.counts())[DATA_BYTES]
        await append(subject.store, "order-1", [event(b"x" * 1_000) for _ in range(1_000)])
        used = (await subject.store.counts())[DATA_BYTES] - before
        assert MIB < used < 3 * MIB
        assert umadb.statistics().disk_bytes > before + used


def status_errors():
    for code in grpc.StatusCode:
        if code is not grpc.StatusCode.OK:
            metadata = grpc.aio.Metadata()
            yield grpc.aio.AioRpcError(code, metadata, metadata, details=f"said\nof {code.name}")


@pytest.mark.parametrize("error", [*status_errors()], ids=lambda error: error.code().name)
def test_each_status_says_whether_an_append_was_written(error):
    code = grpc.StatusCode
    refusals = (code.INVALID_ARGUMENT, code.UNAUTHENTICATED, code.PERMISSION_DENIED)
    kinds = {
        **dict.fromkeys((*refusals, code.UNIMPLEMENTED), AppendRefused),
        code.OUT_OF_RANGE: EventTooLarge,
    }
    with pytest.raises(StoreError) as mapped, client.appending(1):
        raise error
    assert type(mapped.value) is kinds.get(error.code(), OutcomeUnknown)
    assert error.code().name in str(mapped.value)
    assert "\n" not in str(mapped.value)
    for block in (client.READING, client.LOOKING, client.SETTING_UP):
        with pytest.raises(StoreError), block:
            raise error


def test_an_append_that_found_no_connection_was_not_sent():
    metadata = grpc.aio.Metadata()
    details = "failed to connect to all addresses; last error: Connection refused"
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, metadata, metadata, details=details)
    with pytest.raises(StoreUnavailable), client.appending(1):
        raise error


def test_of_many_streams_the_heads_known_longest_are_forgotten():
    heads = Heads({})
    for number in range(HEADS_MAX + 5):
        heads.note(f"order-{number}", Head(0, number + 1, 0))
        heads.note("order-0", Head(number, number + 1, 0))
    assert len(heads.seen) == HEADS_MAX
    assert heads.get("order-1") is None
    assert heads.get("order-0").version == HEADS_MAX + 4
    assert heads.note("order-0", Head(3, 4, 0)).version == HEADS_MAX + 4
