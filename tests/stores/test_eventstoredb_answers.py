"""What real EventStoreDB and KurrentDB servers answered, given by the double, met by the adapter.

Every test here runs on the double: `tests/doubles/eventstoredb`.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from types import SimpleNamespace
from uuid import uuid4

import pytest

from harness.conformance.framework.check_result import CheckVerdict
from harness.domain.errors import (
    AppendRefused,
    BatchTooLarge,
    EventIdReused,
    EventTooLarge,
    NotSent,
    OutcomeUnknown,
    ReadFailed,
    StoreUnavailable,
    StreamNotFound,
    Unsuitable,
    WrongExpectedVersion,
)
from harness.domain.factory import StoreFactory
from harness.domain.store import Position, StreamState
from harness.stores.eventstoredb import batch_append
from harness.stores.eventstoredb.batch_append import BYTES, proposed_message, requests
from harness.stores.eventstoredb.client import library
from harness.stores.eventstoredb.declaration import read_back

from .contract.support import append, event, events, following, ids, read, read_log, versions
from .subject import fresh, opened

esdb = pytest.importorskip("harness.stores.eventstoredb")
if not any(map(__import__("importlib.util").util.find_spec, ("esdbclient", "kurrentdbclient"))):
    pytest.skip("pip install 'eventstore-lab[eventstoredb]'", allow_module_level=True)

from ..doubles.eventstoredb import KURRENTDB, Double  # noqa: E402 - its driver may be missing
from ..doubles.eventstoredb.state import EVENTSTOREDB  # noqa: E402

ANY, EXISTS, NO_STREAM = StreamState.ANY, StreamState.EXISTS, StreamState.NO_STREAM
DESIGNS = pytest.mark.parametrize("design", ["", "plain"])


@asynccontextmanager
async def running(release=EVENTSTOREDB):
    """A double of that release."""
    double = Double(release)
    await double.start()
    try:
        yield double
    finally:
        await double.stop()


@asynccontextmanager
async def store(design="", release=EVENTSTOREDB, **options):
    """A subject on a double of its own, which is the subject's server."""
    kind = esdb.STORE
    async with running(release) as double:
        chosen = kind.options(**options)
        adapter = kind.variants[design]
        async with opened(adapter, chosen, fresh(double.endpoint), double) as subject:
            yield subject


# 1 · A limit of 0


async def test_the_double_answers_a_limit_of_0_as_servers_do_and_the_adapter_sends_none():
    async with store() as subject:
        await append(subject.store, "order-1", events(2))
        session = subject.store._session
        name = await session.name("order-1")
        with pytest.raises(session_error("UnknownError"), match="Unexpected ReadStreamResult"):
            [_ async for _ in session.stream(name, limit=0)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                [_ async for _ in session.all(".*", limit=0)]
        for backwards in (False, True):
            assert await read(subject.store, "order-1", limit=0, backwards=backwards) == []
            with pytest.raises(StreamNotFound):
                [_ async for _ in subject.store.read_stream("no-1", limit=0, backwards=backwards)]
        assert await read_log(subject.store, limit=0) == []


async def test_limits_and_starts_beyond_every_number_of_the_protocol_read_on_the_double():
    async with store() as subject:
        written = events(2)
        await append(subject.store, "order-1", written)
        huge = 1 << 70
        assert ids(await read(subject.store, "order-1", limit=huge)) == ids(written)
        assert await read(subject.store, "order-1", start=huge) == []
        first = (await read_log(subject.store, limit=huge))[0].position
        assert ids(await read_log(subject.store, after=first, limit=huge)) == ids(written[1:])


# 2 · The table of retries

TABLE = {
    ("abc", "ab", "a"): ("ok", "ok", "again"),
    ("bc", "b", "c", "ba"): ("refused", "ok", "again"),
    ("abcd", "axc", "abx"): ("refused", "refused", "again"),
    ("xbc", "xab"): ("refused", "again", "again"),
}
"""Ids sent after [a b c] was written under NO_STREAM: the answer under that, ANY and the head."""


@DESIGNS
async def test_the_double_answers_a_retry_as_the_table_of_real_servers_says(design):
    async with store(design) as subject:
        for number, (sent, kind) in enumerate(
            (sent, kind) for group in TABLE for sent in group for kind in range(4)
        ):
            wanted = next(row for group, row in TABLE.items() if sent in group)
            expected, answer = ((NO_STREAM, 0), (ANY, 1), (EXISTS, 1), (2, 2))[kind]
            stream, known = f"order-{number}", {letter: event() for letter in "abc"}
            await append(subject.store, stream, list(known.values()), expected=NO_STREAM)
            batch = [known[one] if one in known else event() for one in sent]
            await assert_answered(subject, stream, batch, expected, wanted[answer])


async def assert_answered(subject, stream, batch, expected, wanted):
    what = f"{len(batch)} under {expected}: {wanted}"
    if wanted == "refused":
        refusal = EventIdReused if expected is ANY else WrongExpectedVersion
        with pytest.raises(refusal):
            await append(subject.store, stream, batch, expected=expected)
    else:
        told = (await append(subject.store, stream, batch, expected=expected)).version
    there = await read(subject.store, stream)
    assert len(there) == (3 + len(batch) if wanted == "again" else 3), what
    if wanted != "refused":
        assert there[told].id == batch[-1].id, what


@DESIGNS
async def test_the_double_keeps_the_first_payload_and_writes_known_ids_into_another_stream(design):
    async with store(design) as subject:
        one = event()
        for expected in (NO_STREAM, NO_STREAM, ANY):
            await append(subject.store, "order-1", [one], expected=expected)
            one = replace(one, data=b'{"other": 1}')
        (kept,) = await read(subject.store, "order-1")
        assert kept.data != one.data
        await append(subject.store, "order-2", [one], expected=ANY)
        assert ids(await read(subject.store, "order-2")) == [one.id]


@DESIGNS
async def test_the_double_forgets_in_a_restart_what_it_knew_under_any(design):
    async with store(design) as subject:
        under_any, under_none = event(), event()
        await append(subject.store, "order-1", [under_any], expected=ANY)
        await append(subject.store, "order-2", [under_none], expected=NO_STREAM)
        await subject.server.restart()
        again = await subject.connect()
        await append(again, "order-1", [under_any], expected=ANY)
        await append(again, "order-2", [under_none], expected=NO_STREAM)
        assert versions(await read(again, "order-1")) == [0, 1]
        assert versions(await read(again, "order-2")) == [0]


# 3 · What a client raises before anything is sent


@DESIGNS
@pytest.mark.parametrize("release", [EVENTSTOREDB, KURRENTDB])
async def test_what_cannot_be_sent_or_taken_is_refused_on_the_double(design, release):
    async with store(design, release) as subject:
        odd = {
            "a type that is no Unicode": ("order-1", [replace(event(), type="\ud800")]),
            "a name that is no Unicode": ("order-\ud800", [event()]),
            "a type that is empty": ("order-1", [replace(event(), type="")]),
            "17 MB": ("order-1", [event(b"x" * 17_000_000)]),
            "17 MB of metadata": ("order-1", [replace(event(), metadata=b"x" * 17_000_000)]),
        }
        for what, (stream, batch) in odd.items():
            with pytest.raises(AppendRefused):
                await append(subject.store, stream, batch)
            assert await read_log(subject.store) == [], what
        with pytest.raises(StreamNotFound):
            [_ async for _ in subject.store.read_stream("order-\ud800")]
        with pytest.raises(ReadFailed, match="Unicode"):
            await anext(subject.store.subscribe(category="\ud800"))
        await append(subject.store, "order-1")


async def test_a_message_over_the_servers_limit_breaks_no_other_append_on_the_double():
    async with store(release=KURRENTDB) as subject:
        huge = append(subject.store, "large-1", [event(b"x" * 17_000_000)])
        others = [append(subject.store, f"order-{number}") for number in range(20)]
        first, *rest = await asyncio.gather(huge, *others, return_exceptions=True)
        assert isinstance(first, EventTooLarge)
        assert [each.version for each in rest] == [0] * 20


# 4 · Sizes


async def test_eventstoredbs_double_counts_the_data_of_an_append_and_no_metadata():
    async with store() as subject:
        kib = 1024
        await append(subject.store, "order-1", [replace(event(), metadata=b"x" * 1500 * kib)])
        await append(subject.store, "order-1", events(2_000))
        with pytest.raises(BatchTooLarge):
            await append(subject.store, "order-1", [event(b"x" * 300 * kib) for _ in range(4)])
        with pytest.raises(EventTooLarge):
            await append(subject.store, "order-1", [event(b"x" * 1025 * kib)])


@DESIGNS
async def test_an_event_over_kurrentdbs_own_limit_is_too_large_on_the_double(design):
    small = replace(KURRENTDB, event_bytes=1 << 20)
    async with store(design, small) as subject:
        batch = [event(), event(b"x" * ((1 << 20) + 1))]
        for sent in (batch, batch[1:]):
            with pytest.raises(EventTooLarge, match="MaxAppendEventSize"):
                await append(subject.store, "order-1", sent)
        assert await read_log(subject.store) == []


@pytest.mark.parametrize(
    ("release", "limit"), [(EVENTSTOREDB, 1 << 20), (KURRENTDB, 16_700_000)], ids=["23.10", "26.1"]
)
async def test_the_limit_of_the_doubles_options_is_declared(release, limit):
    async with store(release=release) as subject:
        assert (await subject.declared_here()).event_limit_bytes == limit
        how = StoreFactory(subject.adapter, subject.endpoint, subject.options)
        assert how.guarantees.event_limit_bytes == 1 << 20
        subject.server.state.secured = True
        assert (await subject.declared_here()).event_limit_bytes == 1 << 20


# 5 · Connections


QUIET = """
import asyncio, sys
from harness.domain.store import Endpoint, NewEvent, StreamState
from harness.stores.eventstoredb import STORE
from uuid import uuid4

async def use(design):
    place = Endpoint(sys.argv[1], "eslab_quiet")
    store = await STORE.variants[design].connect(place, STORE.options())
    await store.setup()
    following = asyncio.create_task(anext(aiter(store.subscribe())))
    await asyncio.gather(*(
        store.append(f"order-{n}", [NewEvent(uuid4(), "T", b"{}")], expected=StreamState.ANY)
        for n in range(50)
    ))
    await following
    await store.teardown()
    await store.aclose()

for design in ("", "plain", ""):
    asyncio.run(use(design))
"""


async def test_loops_that_end_leave_no_word_of_grpcs_on_the_double():
    async with running() as double:
        command = [sys.executable, "-c", QUIET, double.endpoint.address]
        others = {k: v for k, v in os.environ.items() if not k.startswith("GRPC_")}  # set by tests
        program = await asyncio.create_subprocess_exec(
            *command, stderr=asyncio.subprocess.PIPE, env=others
        )
        _, said = await program.communicate()
    assert said.decode() == ""
    assert program.returncode == 0


async def test_a_double_that_greets_late_is_waited_for():
    """An attempt to connect had 50 ms, which a busy server does not keep."""
    async with running() as double:
        double.front.greets_after_s = 0.4
        endpoint = fresh(double.endpoint)
        async with opened(esdb.STORE.variants["plain"], esdb.STORE.options(), endpoint) as subject:
            assert (await append(subject.store, "order-1")).version == 0


async def test_each_store_has_a_connection_of_its_own_to_the_double():
    async with store() as subject:
        before = len(subject.server.front.connections)
        for _ in range(3):
            await append(await subject.connect(), "order-1")
        assert len(subject.server.front.connections) == before + 3


@DESIGNS
async def test_a_first_burst_over_the_calls_that_a_connection_takes_ends_well_on_the_double(design):
    async with store(design) as subject:
        fresh_one = await subject.connect()
        burst = [append(fresh_one, f"order-{number}") for number in range(200)]
        assert [each.version for each in await asyncio.gather(*burst)] == [0] * 200


async def test_more_readers_than_a_connection_takes_calls_read_well_on_the_double():
    async with store() as subject:
        mine = events(2)
        await append(subject.store, "order-1", mine)
        reads = [read(subject.store, "order-1") for _ in range(600)]
        assert [ids(each) for each in await asyncio.gather(*reads)] == [ids(mine)] * 600


async def test_readers_that_read_on_while_they_read_do_not_wait_for_each_other_on_the_double():
    async with store() as subject:
        await append(subject.store, "order-1", events(2))

        async def nested():
            async for _ in subject.store.read_stream("order-1"):
                assert len(await read(subject.store, "order-1")) == 2

        await asyncio.gather(*(nested() for _ in range(60)))


async def test_all_who_wait_for_the_namespace_on_a_paused_double_are_told_at_one_deadline():
    async with store(deadline_s=2.0) as subject:
        other = await subject.connect()
        await subject.server.pause()
        try:
            async with asyncio.timeout(20.0):
                sent = [append(other, f"order-{number}") for number in range(20)]
                answers = await asyncio.gather(*sent, return_exceptions=True)
        finally:
            await subject.server.resume()
        assert all(isinstance(each, StoreUnavailable) for each in answers)


async def test_plain_appends_under_way_are_bounded_and_those_that_wait_too_long_are_not_sent():
    async with store("plain", deadline_s=2.0) as subject:
        await append(subject.store, "order-0")
        await subject.server.pause()
        sent = [append(subject.store, f"order-{number}") for number in range(100)]
        answers = await asyncio.gather(*sent, return_exceptions=True)
        await subject.server.resume()
        assert sum(isinstance(each, OutcomeUnknown) for each in answers) >= 64
        assert all(isinstance(each, OutcomeUnknown | NotSent) for each in answers)
        await until_it_takes_calls(subject.store)


async def until_it_takes_calls(store):
    """gRPC's server refuses calls until it has seen that those it was sent in its pause ended."""
    while True:
        with suppress(ReadFailed):
            await read(store, "order-0")
            return
        await asyncio.sleep(0.05)


# 6 · Ready


async def test_a_double_that_is_alive_and_takes_no_append_yet_is_waited_for():
    async with running() as double:
        double.state.refuses_appends_until = asyncio.get_running_loop().time() + 0.3
        endpoint = fresh(double.endpoint)
        async with opened(esdb.STORE.variants[""], esdb.STORE.options(), endpoint) as subject:
            assert (await append(subject.store, "order-1")).version == 0


# 7 · Projections


async def test_links_of_a_double_without_projections_are_not_waited_for():
    async with store(categories="links") as subject:
        subject.server.state.projections = False
        with pytest.raises(Unsuitable, match="projections are off"):
            await anext(subject.store.subscribe(category="order"))


async def test_a_check_of_links_is_not_reached_on_a_double_without_projections():
    from harness.conformance import all_checks  # noqa: PLC0415
    from harness.conformance.framework.check_context import FAST  # noqa: PLC0415
    from harness.conformance.framework.running import StoreUnderTest, measure  # noqa: PLC0415

    asked = [each for each in all_checks().values() if "categor" in each.name]
    async with store(categories="links") as subject:
        subject.server.state.projections = False
        how = StoreFactory(subject.adapter, subject.endpoint, subject.options)
        results = await measure(StoreUnderTest("links", how), asked, FAST)
    assert asked
    for result in results.values():
        assert result.verdict is CheckVerdict.NOT_REACHED
        assert "projections are off" in result.why


async def test_a_namespace_is_set_up_again_on_a_double_that_hides_what_follows_a_deletion():
    async with store() as subject:
        other = await subject.connect()
        await append(subject.store, "order-1", events(2))
        await subject.store.teardown()
        subject.server.state.log.hides_next_after_deletion = True
        await subject.store.setup()
        assert (await append(subject.store, "order-1")).version == 0
        assert len(await read_log(await subject.connect())) == 1
        del other


# 8 · Versions


@DESIGNS
async def test_the_version_after_a_deletion_is_the_doubles(design):
    async with store(design) as subject:
        await append(subject.store, "order-1", events(2))
        session = subject.store._session
        await session._delete(await session.name("order-1"), asyncio.Semaphore())
        assert (await append(subject.store, "order-1", expected=NO_STREAM)).version == 2
        with pytest.raises(WrongExpectedVersion) as stale:
            await append(subject.store, "order-1", expected=1)
        assert stale.value.actual == 2
        assert (await append(subject.store, "order-1", expected=ANY)).version == 3


async def test_the_plain_design_reads_one_event_of_the_double_for_its_version(monkeypatch):
    async with store("plain") as subject:
        await append(subject.store, "order-1", events(50))
        reads, session = [], subject.store._session
        reading = session.stream
        monkeypatch.setattr(
            session, "stream", lambda name, **how: reads.append(how) or reading(name, **how)
        )
        assert (await append(subject.store, "order-1", expected=ANY)).version == 50
        assert reads == [{"backwards": True, "limit": 1}]
        old = (await read(subject.store, "order-1"))[3]
        retry = replace(event(), id=old.id)
        assert (await append(subject.store, "order-1", [retry], expected=ANY)).version == 3


async def test_a_tombstone_on_the_double_takes_nothing_and_is_no_stream():
    async with store() as subject:
        await append(subject.store, "order-1")
        name = await subject.store._session.name("order-1")
        subject.server.state.log.delete(name, tombstone=True)
        with pytest.raises(AppendRefused) as refused:
            await append(subject.store, "order-1")
        assert "StreamIsDeleted" in refused.value.reason
        with pytest.raises(StreamNotFound):
            [_ async for _ in subject.store.read_stream("order-1")]


# 9 · Where reads begin


async def test_reads_of_everything_begin_at_the_namespaces_place_in_the_doubles_log(monkeypatch):
    async with store() as subject:
        log = subject.server.state.log.all
        (made,) = [each for each in log if each.stream == subject.endpoint.namespace]
        for reader in (subject.store, await subject.connect()):
            await read_log(reader, limit=0)
            assert reader._session.beginning() == {"commit_position": made.position}
        reads, reading = [], subject.store._session.all
        monkeypatch.setattr(
            subject.store._session, "all", lambda p, **how: reads.append(how) or reading(p, **how)
        )
        mine = events(2)
        await append(subject.store, "order-1", mine)
        assert ids(await read_log(subject.store)) == ids(mine)
        assert reads == [{"commit_position": made.position}]
        async with following(subject.store) as follower:
            assert ids(await follower.until(2)) == ids(mine)


async def test_a_place_that_is_none_in_the_doubles_log_is_a_failed_read():
    for release, answer in ((EVENTSTOREDB, "Error"), (KURRENTDB, "InvalidPosition")):
        async with store(release=release) as subject:
            await append(subject.store, "order-1")
            with pytest.raises(ReadFailed, match=f"FilteredReadAllResult: {answer}"):
                await read_log(subject.store, after=Position((7,)))


# 10 · What is asked over HTTP, and closing


@pytest.mark.parametrize(
    ("release", "version"), [(EVENTSTOREDB, "23.10.8.0"), (KURRENTDB, "26.1.0")]
)
async def test_the_doubles_version_and_options_are_read_as_they_were_written(release, version):
    async with store(release=release) as subject:
        subject.server.state.options["MemDb"] = "TRUE"
        settings = await subject.store.settings()
        assert settings["version"] == version
        assert settings["mem_db"] == "TRUE"
        assert subject.adapter.durability_of(settings).short == "memory"
        subject.server.state.secured = True
        settings = await subject.store.settings()
        assert settings["mem_db"] == "unknown"
        assert settings["version"] == version
        assert subject.adapter.durability_of(settings).short == "unknown"
        wrong = {"username": "me", "password": "wrong"}
        settings = await read_back(replace(subject.endpoint, credentials=wrong, version=""))
        assert {*settings.values()} == {"unknown"}
        assert subject.adapter.durability_of(settings).short == "unknown"


@pytest.mark.parametrize("how", [{}, {"subscription": "persistent"}, {"categories": "links"}])
async def test_a_subscription_to_the_double_ends_quietly_behind_aclose(how):
    async with store(**how) as subject:
        other = await subject.connect()
        await append(subject.store, "order-1")
        seen = asyncio.Event()

        async def follow():
            async for _ in other.subscribe(category="order" if "categories" in how else None):
                seen.set()

        following_on = asyncio.create_task(follow())
        await seen.wait()
        await other.aclose()
        await other.aclose()
        async with asyncio.timeout(5):
            await following_on
        with pytest.raises(StoreUnavailable, match="closed"):
            await append(other, "order-1")
        with pytest.raises(ReadFailed, match="closed"):
            await read(other, "order-1")


@DESIGNS
async def test_an_append_under_way_when_its_store_is_closed_is_unknown_on_the_double(design):
    async with store(design) as subject:
        other = await subject.connect()
        await append(other, "order-1")
        await subject.server.pause()
        under_way = asyncio.create_task(append(other, "order-1"))
        await asyncio.sleep(0.1)
        try:
            async with asyncio.timeout(10):
                await other.aclose()
                with pytest.raises(OutcomeUnknown):
                    await under_way
        finally:
            await subject.server.resume()


async def test_a_client_is_closed_when_its_connecting_is_cancelled_on_a_paused_double(monkeypatch):
    closed, client = [], esdb.store.library().client
    closing = client.close
    monkeypatch.setattr(client, "close", lambda self: closed.append(self) or closing(self))
    async with running() as double:
        await double.pause()
        endpoint = replace(double.endpoint, namespace=f"eslab_{uuid4().hex[:8]}")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await esdb.STORE.variants[""].connect(endpoint, esdb.STORE.options())
        await double.resume()
    assert len(closed) == 1


def session_error(name):
    return esdb.store.library().error(name)


# 12 · What an append costs


def test_a_request_is_the_one_that_the_clients_own_code_makes():
    lib = library()
    streams = importlib.import_module(f"{lib.client.__module__.partition('.')[0]}.streams")
    service = streams.AsyncStreamsService
    make = requests(SimpleNamespace(_connection=SimpleNamespace(streams=service)), 1.5)
    sent, correlation = event(metadata=b"by me"), uuid4()
    own = lib.new_event(
        type=sent.type, data=sent.data, metadata=sent.metadata, content_type=BYTES, id=sent.id
    )
    for expected in (0, 7, ANY, EXISTS, NO_STREAM):
        expectation = getattr(lib.stream_state, getattr(expected, "name", ""), expected)
        wanted = service._construct_batch_append_req(
            "order-ä", expectation, [own], correlation, 1.5
        )
        assert make("order-ä", [proposed_message(sent)], expected, str(correlation)) == wanted


async def test_each_append_of_the_shared_call_has_a_deadline_of_its_own_on_a_paused_double():
    async with store(deadline_s=0.3) as subject:
        await append(subject.store, "order-1")
        await subject.server.pause()
        over = []
        try:
            tasks = []
            for number in range(3):
                tasks.append(asyncio.create_task(append(subject.store, f"order-{number}")))
                tasks[-1].add_done_callback(over.append)
                await asyncio.sleep(0.05)
            async with asyncio.timeout(30):
                told = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await subject.server.resume()
        assert over == tasks
        assert [type(each) for each in told] == [OutcomeUnknown] * 3
        assert (await append(subject.store, "order-9")).version == 0


async def test_very_many_small_events_have_a_call_of_their_own_on_the_double(monkeypatch):
    """They take less than an event's limit, and a message of them more than gRPC's."""
    alone = []

    async def answered_alone(client, request, deadline_s):
        alone.append(request.ByteSize() / len(request.proposed_messages))
        return await answering(client, request, deadline_s)

    answering = batch_append.answered_alone
    monkeypatch.setattr(batch_append, "answered_alone", answered_alone)
    async with store() as subject:
        small = [event(b"") for _ in range(9_000)]
        assert (await append(subject.store, "order-1", small)).version == 8_999
    (size,) = alone
    assert 100 < size <= 128 + 4 * len("OrderPlaced")
