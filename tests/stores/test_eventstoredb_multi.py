"""`eventstoredb:multi`: KurrentDB's appends to several streams, and boundaries over streams.

Every test here runs on the double, which answers as KurrentDB 26.1.0 did: `tests/doubles`.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import pytest

from harness.domain.boundaries import BoundaryItem, TaggedEvent
from harness.domain.errors import (
    AppendRefused,
    BatchTooLarge,
    BoundaryViolated,
    EventIdReused,
    EventTooLarge,
    OutcomeUnknown,
    StoreUnavailable,
    UnsupportedByStore,
    WrongExpectedVersion,
)
from harness.domain.store import StreamState
from harness.domain.workload import Catalogue
from harness.run.session import introduce
from harness.scenario.names import StoreRef
from harness.stores import kinds

from .contract.support import append, event, events, ids, read, read_log
from .subject import fresh, opened

esdb = pytest.importorskip("harness.stores.eventstoredb")
if not any(map(__import__("importlib.util").util.find_spec, ("esdbclient", "kurrentdbclient"))):
    pytest.skip("pip install 'eventstore-lab[eventstoredb]'", allow_module_level=True)

from harness.stores.eventstoredb.client import library  # noqa: E402 - its driver may be missing
from harness.stores.eventstoredb.several_streams import (  # noqa: E402 - its driver may be missing
    EXISTS,
    NO_STREAM,
    PROTOCOL,
    Appender,
    Conflict,
    record,
)

from ..doubles.eventstoredb import EVENTSTOREDB, KURRENTDB, Double  # noqa: E402

ANY = StreamState.ANY


@asynccontextmanager
async def multi(release=KURRENTDB, **options):
    """A subject on a double of its own."""
    double = Double(release)
    await double.start()
    try:
        chosen, adapter = esdb.STORE.options(**options), esdb.STORE.variants["multi"]
        async with opened(adapter, chosen, fresh(double.endpoint), double) as subject:
            yield subject
    finally:
        await double.stop()


def tagged(type_: str, tags: str, **more) -> TaggedEvent:
    """Tags are words with spaces between."""
    return TaggedEvent(
        more.pop("id", uuid4()), type_, more.pop("data", b"{}"), tags=tuple(tags.split())
    )


def about(*tags: str, types=()) -> list[BoundaryItem]:
    """One item for each tag."""
    return [BoundaryItem(types, (tag,)) for tag in tags]


# The protocol


def test_the_protocol_file_is_read_as_the_protobuf_compiler_reads_it(tmp_path):
    protoc = pytest.importorskip("grpc_tools.protoc")
    descriptors = pytest.importorskip("google.protobuf.descriptor_pb2")
    compiled, source = tmp_path / "compiled", PROTOCOL.file
    arguments = ["protoc", f"-I{source.parent}", f"--descriptor_set_out={compiled}", str(source)]
    assert protoc.main(arguments) == 0
    (file,) = descriptors.FileDescriptorSet.FromString(compiled.read_bytes()).file
    file.ClearField("service")
    for message in file.message_type:
        for field in message.field:
            field.ClearField("json_name")
    assert PROTOCOL.described() == file


def test_requests_and_answers_are_the_bytes_that_kurrentdbs_own_client_makes_of_them():
    kinds = PROTOCOL.messages
    made = kinds.AppendRecordsRequest(
        records=[
            kinds.AppendRecord(
                record_id="i",
                properties=[kinds.PropertiesEntry(key="k", value=kinds.Value(string_value=""))],
                schema=kinds.SchemaInfo(format=4, name="T"),
                data=b"d",
                stream="s",
            )
        ],
        checks=[
            kinds.ConsistencyCheck(
                stream_state=kinds.StreamStateCheck(stream="s", expected_state=-1)
            )
        ],
    )
    assert made.SerializeToString().hex() == REQUEST
    answer = kinds.AppendRecordsResponse.FromString(bytes.fromhex(ANSWER))
    assert [(each.stream, each.revision) for each in answer.revisions] == [("s", 3)]
    assert answer.position == 7
    refusal = kinds.AppendConsistencyViolationErrorDetails.FromString(bytes.fromhex(REFUSAL))
    (violation,) = refusal.violations
    told = violation.stream_state
    assert (violation.check_index, told.stream) == (2, "s")
    assert (told.expected_state, told.actual_state) == (-1, 5)


REQUEST = "0a190a016912070a016b12021a001a0508041201542201642a017312070a050a01731001"
ANSWER = "0a050a01731006100e"
REFUSAL = "0a0b080212070a01731001180a"
"""Made by the generated classes of kurrentdbclient 1.3.5."""


# What the server answers, given by the double


async def test_the_double_checks_streams_written_to_or_not_and_tells_every_check_that_fails():
    async with multi() as subject:
        appender, one = Appender(subject.store._session), record(event(), "a")
        written = await appender.append([one, record(event(), "b"), record(event(), "a")], {})
        assert written.versions == {"a": 1, "b": 0}
        other = [record(event(), "c")]
        with pytest.raises(Conflict) as refused:
            await appender.append(other, {"a": 0, "b": NO_STREAM, "c": EXISTS, "d": NO_STREAM})
        assert refused.value.states == {"a": 1, "b": 0, "c": NO_STREAM}
        assert await subject.store._session.newest("c") is None
        await appender.append(other, {"a": 1, "b": EXISTS, "c": NO_STREAM})


async def test_the_double_knows_a_retry_whose_checked_streams_have_moved():
    async with multi() as subject:
        appender = Appender(subject.store._session)
        batch = [record(event(), "a"), record(event(), "b")]
        checks = {"a": NO_STREAM, "guard": NO_STREAM}
        first = await appender.append(batch, checks)
        for stream in ("a", "guard"):
            await appender.append([record(event(), stream)], {})
        assert await appender.append(batch, checks) == first
        for partly in ([*batch, record(event(), "b")], [record(event(), "a"), *batch]):
            with pytest.raises(Conflict):
                await appender.append(partly, {})


async def test_the_double_writes_names_that_differ_in_case_into_one_stream():
    async with multi() as subject:
        appender = Appender(subject.store._session)
        batch = [record(event(), "Case-x"), record(event(), "case-x")]
        assert (await appender.append(batch, {})).versions == {"Case-x": 1}
        assert await subject.store._session.newest("case-x") is None


@pytest.mark.parametrize("wrong", ["order placed", "", "a/b"])
async def test_the_double_refuses_types_of_other_characters(wrong):
    async with multi() as subject:
        one = record(event(), "a")
        one.schema.name = wrong
        with pytest.raises(library().any_error):
            await Appender(subject.store._session).append([one], {})


# Streams


async def test_a_server_without_the_call_is_unsupported_in_one_line_on_the_double():
    with pytest.raises(UnsupportedByStore, match=r"^the server has no .* KurrentDB 26.1 or later$"):
        async with multi(EVENTSTOREDB):
            pass


async def test_a_server_without_the_call_is_met_all_the_same_on_the_double():
    """Other designs may run on it: its own trials say what they miss."""
    double = Double(EVENTSTOREDB)
    await double.start()
    try:
        ref = StoreRef("eventstoredb", "multi", options=esdb.STORE.options())
        await introduce(double, ref, Catalogue(kinds(), {}), fresh(double.endpoint).namespace)
    finally:
        await double.stop()


async def test_a_stream_that_the_double_finds_elsewhere_is_told():
    async with multi() as subject:
        await append(subject.store, "order-1", events(3), expected=StreamState.NO_STREAM)
        for expected, actual, stream in (
            (StreamState.NO_STREAM, 2, "order-1"),
            (1, 2, "order-1"),
            (StreamState.EXISTS, None, "order-2"),
            (0, None, "order-2"),
        ):
            with pytest.raises(WrongExpectedVersion) as refused:
                await append(subject.store, stream, expected=expected)
            assert refused.value.actual == actual
            assert refused.value.stream == stream
        assert (await append(subject.store, "order-1", expected=StreamState.EXISTS)).version == 3


async def test_types_and_metadata_that_the_protocol_cannot_carry_come_back_on_the_double():
    async with multi() as subject:
        types = ("order placed", "Übernommen/v2", "eslab.hex:00", "\n", "Order.Paid_$:-1")
        written = [
            replace(event(), type=each, metadata=metadata)
            for each in types
            for metadata in (b"", b"\x00\xff", b'{"a": 1}', "ä\x00\u2028".encode(), b'{"tags": 1}')
        ]
        await append(subject.store, "order-1", written)
        for one, back in zip(written, await read(subject.store, "order-1"), strict=True):
            assert (back.type, back.metadata, back.data) == (one.type, one.metadata, one.data)
        for wrong in ("", "\ud800"):
            with pytest.raises(AppendRefused):
                await append(subject.store, "order-1", [replace(event(), type=wrong)])


async def test_the_doubles_own_keys_are_dropped_from_metadata():
    async with multi() as subject:
        await append(subject.store, "order-1", [event(metadata=b"mine")])
        session = subject.store._session
        raw = await session.newest(await session.name("order-1"))
        assert json.loads(raw.metadata).keys() == {"metadata", "$schema.name", "$schema.format"}
        (back,) = await read_log(subject.store)
        assert back.metadata == b"mine"


async def test_more_than_a_call_takes_is_refused_before_it_is_sent_to_the_double():
    async with multi() as subject:
        large = b"x" * 15_000_001
        with pytest.raises(BatchTooLarge, match="a call takes"):
            await append(subject.store, "order-1", [event(large), event(large)])
        with pytest.raises(EventTooLarge, match="a call takes"):
            await append(subject.store, "order-1", [event(large * 2)])
        assert await read_log(subject.store) == []


async def test_an_event_over_the_doubles_own_limit_is_too_large():
    async with multi(replace(KURRENTDB, event_bytes=1 << 20)) as subject:
        with pytest.raises(EventTooLarge):
            await append(subject.store, "order-1", [event(), event(b"x" * ((1 << 20) + 1))])
        assert await read_log(subject.store) == []


async def test_a_tombstoned_stream_is_a_refusal_and_no_conflict_on_the_double():
    async with multi() as subject:
        await append(subject.store, "order-1")
        name = await subject.store._session.name("order-1")
        subject.server.state.log.delete(name, tombstone=True)
        with pytest.raises(AppendRefused) as refused:
            await append(subject.store, "order-1")
        assert refused.value.reason == "StreamTombstonedErrorDetails"


async def test_a_call_that_is_cut_or_late_is_unknown_and_the_next_finds_the_double():
    async with multi(deadline_s=0.5) as subject:
        patient = await subject.connect(deadline_s=10.0)
        await append(patient, "order-1")
        await subject.server.pause()
        with pytest.raises(OutcomeUnknown):
            await append(subject.store, "order-1")
        cut = asyncio.create_task(append(patient, "order-1"))
        await asyncio.sleep(0.2)
        await subject.server.kill()
        try:
            with pytest.raises((OutcomeUnknown, StoreUnavailable)):
                await cut
            with pytest.raises((OutcomeUnknown, StoreUnavailable)):
                await append(subject.store, "order-1")
        finally:
            await subject.server.restart()
        async with asyncio.timeout(10):
            while True:
                try:
                    await append(subject.store, "order-2")
                    break
                except (StoreUnavailable, OutcomeUnknown):
                    await asyncio.sleep(0.05)


# Boundaries


async def test_a_tagged_event_is_once_in_the_doubles_log_as_readers_see_it():
    async with multi() as subject:
        await subject.store.append_if([tagged("Paid", "a b c")], fail_if_match=None)
        assert len(await read_log(subject.store)) == 1
        raw = [each for each in subject.server.state.log.all if each.metadata["type"] == "Paid"]
        assert len(raw) == len({each.id for each in raw}) == 5
        assert raw[-1].stream.endswith("$tagged")


async def test_tags_that_differ_in_case_are_different_tags_on_the_double():
    async with multi() as subject:
        one, two = tagged("Paid", "Case"), tagged("Paid", "case")
        await subject.store.append_if([one, two], fail_if_match=None)
        for event_ in (one, two):
            found = await subject.store.query(about(*event_.tags))
            assert [each.event.id for each in found.events] == [event_.id]


async def test_items_of_types_and_of_tags_hit_each_other_on_the_double():
    async with multi() as subject:
        store = subject.store
        items = [BoundaryItem(("Paid", "Opened")), BoundaryItem(("Closed",), ("a",))]
        head = (await store.query(items)).head
        await store.append_if([tagged("Closed", "b")], fail_if_match=None)
        await store.append_if([tagged("Own", "a")], fail_if_match=items, after=head)
        for hit in (tagged("Opened", ""), tagged("Closed", "b a")):
            head = (await store.query(items)).head
            await store.append_if([hit], fail_if_match=None)
            with pytest.raises(BoundaryViolated):
                await store.append_if([tagged("Own", "x")], fail_if_match=items, after=head)
        found = (await store.query(items)).events
        assert [each.event.type for each in found] == ["Opened", "Closed"]


async def test_what_moves_a_stream_and_no_boundary_costs_a_try_on_the_double():
    async with multi() as subject:
        store, items = subject.store, about("a", types=("Paid",))
        await store.append_if([tagged("Paid", "a")], fail_if_match=items)
        head = (await store.query(items)).head
        await store.append_if([tagged("Opened", "a")], fail_if_match=None)
        result = await store.append_if([tagged("Own", "x")], fail_if_match=items, after=head)
        assert result.tries == 2
        await store.append_if([tagged("Paid", "a")], fail_if_match=None)
        with pytest.raises(BoundaryViolated):
            await store.append_if([tagged("Own", "x")], fail_if_match=items, after=head)


async def test_the_head_of_another_query_is_a_place_in_the_doubles_log():
    async with multi() as subject:
        store = subject.store
        await store.append_if([tagged("Paid", "a b")], fail_if_match=None)
        head = (await store.query(about("elsewhere"))).head
        own = tagged("Own", "a")
        first = await store.append_if([own], fail_if_match=about("a", "b"), after=head)
        with pytest.raises(BoundaryViolated):
            await store.append_if([tagged("Own", "a")], fail_if_match=about("a"), after=head)
        again = await store.append_if([own], fail_if_match=about("a", "b"), after=head)
        assert (first.tries, again.tries) == (1, 1)
        assert again.position == first.position


async def test_a_query_that_an_append_interrupts_shows_the_event_in_all_its_streams_or_in_none(
    monkeypatch,
):
    async with multi() as subject:
        store, items = subject.store, about("a", "b")
        await store.append_if([tagged("Paid", "a b")], fail_if_match=None)
        between, part, read_before = tagged("Paid", "a b"), store._part, asyncio.Event()

        async def interrupted(name, since):
            if name.endswith(".b"):
                await read_before.wait()
                await store.append_if([between, tagged("Paid", "b")], fail_if_match=None)
                return await part(name, since)
            found = await part(name, since)
            read_before.set()
            return found

        monkeypatch.setattr(store, "_part", interrupted)
        state = await store.query(items)
        monkeypatch.undo()
        newer = await store.query(items, after=state.head)
        assert (len(state.events), len(newer.events)) == (1, 2)
        assert newer.events[0].event.id == between.id
        with pytest.raises(BoundaryViolated):
            await store.append_if([tagged("Own", "x")], fail_if_match=items, after=state.head)


async def test_an_append_that_repeats_a_part_of_one_is_refused_on_the_double():
    async with multi() as subject:
        one, two = tagged("Paid", "a"), tagged("Paid", "b")
        await subject.store.append_if([one], fail_if_match=None)
        changed = replace(one, tags=("a", "b")), replace(one, type="Opened")
        for batch in ([one, two], [two, one], *([each] for each in changed)):
            with pytest.raises(EventIdReused):
                await subject.store.append_if(batch, fail_if_match=None)
        assert ids(await read_log(subject.store)) == [one.id]
