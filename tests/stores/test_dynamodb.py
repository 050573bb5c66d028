"""What is DynamoDB's own: its traps, provoked on a real DynamoDB Local, and its limits."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import statistics
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from harness.domain.costs import Costed
from harness.domain.durability import Durability
from harness.domain.errors import (
    AppendRefused,
    BatchTooLarge,
    EventIdReused,
    EventTooLarge,
    NoServer,
    OutcomeUnknown,
    StoreUnavailable,
    Unsuitable,
    WrongExpectedVersion,
)
from harness.domain.store import StreamState
from harness.servers import probe
from harness.stores.dynamodb import STORE, items
from harness.stores.dynamodb.driver import Clashed, Declined, InProgress, Rejected, error_answer
from harness.stores.dynamodb.event_items import IDS_LOOKED_UP

from .contract.support import NO_STREAM, append, event, events, ids, read, read_log, versions
from .subject import fresh, opened

boto3 = pytest.importorskip("boto3")
ReadTimeoutError = pytest.importorskip("botocore.exceptions").ReadTimeoutError
URLLib3Session = pytest.importorskip("botocore.httpsession").URLLib3Session
READY = probe("dynamodb", "native")
pytestmark = pytest.mark.skipif(not READY.ready, reason=f"native dynamodb: {READY.detail}")

DRIVERS = ("boto3", "http")
GUARDED = ("", "commit", "sequenced")


@pytest.fixture
def dynamodb(servers):
    """A real DynamoDB Local, shared by the session."""
    return servers("dynamodb")


@pytest.fixture
def on_disk(servers):
    """One that keeps its tables in a file."""
    server = servers("dynamodb", surviving=True)
    if not server.controllable:
        pytest.skip("an external server is not the suite's to kill")
    return server


@asynccontextmanager
async def store(server, variant="", **options):
    endpoint = fresh(server.endpoint)
    async with opened(STORE.variants[variant], STORE.options(**options), endpoint) as subject:
        yield subject


@asynccontextmanager
async def paused(server):
    """Deaf inside the block."""
    await server.pause()
    try:
        yield
    finally:
        await server.resume()


async def until_read(store, stream, number):
    """What was sent to a deaf server is written when it hears again."""
    for _ in range(200):
        if len(await read(store, stream)) == number:
            return
        await asyncio.sleep(0.02)
    pytest.fail("it did not land")


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("variant", GUARDED)
async def test_a_write_that_landed_unseen_is_never_a_conflict(on_disk, variant, driver):
    """The server stops for longer than the deadline; then the very same append is sent again."""
    async with store(on_disk, variant, driver=driver) as subject:
        hasty = await subject.connect(deadline_s=1.0)
        stream, expected = "order-1", NO_STREAM
        if variant == "sequenced":
            # It knows the heads of the streams that it has written, and looks for no others.
            expected = (await append(hasty, stream, expected=NO_STREAM)).version
        batch = events(2)
        async with paused(on_disk):
            with pytest.raises(OutcomeUnknown):
                await append(hasty, stream, batch, expected=expected)
        await until_read(subject.store, stream, 3 if variant == "sequenced" else 2)
        result = await append(subject.store, stream, batch, expected=expected)
        again = await append(hasty, stream, batch, expected=expected)
        assert result == again
        assert ids(await read(subject.store, stream))[-2:] == ids(batch)
        assert result.version == len(await read(subject.store, stream)) - 1


async def test_the_sdks_own_retry_turns_a_landed_write_into_a_conflict(dynamodb):
    """The trap itself, so that it is seen to be there: boto3 as it comes, one answer lost."""
    async with store(dynamodb) as subject:
        endpoint = subject.endpoint
        client = boto3.client(
            "dynamodb",
            endpoint_url=endpoint.address,
            region_name="us-east-1",
            aws_access_key_id="eslab",
            aws_secret_access_key="eslab",
        )
        client.meta.events.register("before-send.dynamodb.PutItem", _FirstAnswerLost())
        key = items.key("retried", 0)
        with pytest.raises(client.exceptions.ConditionalCheckFailedException):
            client.put_item(
                TableName=endpoint.namespace,
                Item=key,
                ConditionExpression="attribute_not_exists(PK)",
            )
        assert "Item" in client.get_item(TableName=endpoint.namespace, Key=key)
        client.close()


class _FirstAnswerLost:
    """The first request reaches the real server, and its answer never reaches the caller."""

    def __init__(self):
        self.lost = False

    def __call__(self, request, **_):
        if not self.lost:
            self.lost = True
            answer = URLLib3Session().send(request)
            assert answer.status_code == 200
            raise ReadTimeoutError(endpoint_url=request.url)


async def test_the_emulator_is_slow_to_cancel_a_transaction_in_part(dynamodb):
    """Several times a refused put, which `declares` names: a figure of conflicts shows it."""
    async with store(dynamodb, driver="http") as subject:
        await append(subject.store, "order-1", events(3))

        async def conflict():
            with pytest.raises(WrongExpectedVersion):
                await append(subject.store, "order-1", expected=7)

        in_part = await fastest_ms(conflict)
        alone = await fastest_ms(lambda: refused_put(subject))
        assert in_part > 1.5 * alone
    for case in ({}, {"driver": "http"}):
        assert "emulator" in STORE.variants[""].declares(STORE.options(**case)).occ_note


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (
            {
                "BillingMode": "PROVISIONED",
                "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
            },
            "billing mode = 'PAY_PER_REQUEST' is",
        ),
        (
            {
                "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "PK", "AttributeType": "S"}],
            },
            "keys = 'PK HASH, SK RANGE' is 'PK HASH'",
        ),
    ],
)
async def test_a_table_that_is_not_as_asked_is_refused_and_left_alone(dynamodb, other, told):
    variant = STORE.variants[""]
    subject = await variant.connect(fresh(dynamodb.endpoint), STORE.options())
    client = subject._session.client
    named = {"TableName": subject._session.table}
    try:
        await client.call("CreateTable", {**named, **variant.schema, **other})
        with pytest.raises(Unsuitable, match=told):
            await subject.setup()
        assert await subject._session.describe()
    finally:
        await subject.teardown()
        await subject.aclose()


async def refused_put(subject):
    """A single conditional put that finds its place taken."""
    with pytest.raises(Declined):
        await subject.store._put(
            items.key(items.partition("order-1"), 0),
            ConditionExpression="attribute_not_exists(PK)",
        )


async def fastest_ms(act):
    took = []
    for _ in range(40):
        began = time.perf_counter()
        await act()
        took.append((time.perf_counter() - began) * 1e3)
    return statistics.quantiles(took, n=10)[0]


async def test_an_address_of_the_users_shows_that_local_answers_and_not_how_it_stores(dynamodb):
    """The lab reads the command line of its own server only."""
    endpoint = replace(dynamodb.endpoint, provider="external", pid=None)
    async with opened(STORE.variants[""], STORE.options(), fresh(endpoint)) as subject:
        settings = await subject.store.settings()
    assert (settings["server"], settings["storage"]) == ("DynamoDB Local", "unknown")
    assert "emulator" in subject.adapter.emulator_of(settings)
    assert subject.adapter.durability_of(settings) is Durability.UNKNOWN


async def test_the_file_modes_last_acknowledged_transaction_is_lost_at_a_kill(on_disk):
    """A fact about the emulator; its durability class, as read back, says so."""
    lost = 0
    async with store(on_disk, driver="http") as subject:
        settings = await subject.store.settings()
        assert subject.adapter.durability_of(settings) is Durability.BOUNDED_LOSS
        for number in range(5):
            for _ in range(20):
                await append(subject.store, f"warm-{number}")
            pid = on_disk.endpoint.pid
            last = await append(subject.store, f"order-{number}", expected=NO_STREAM)
            os.kill(pid, signal.SIGKILL)
            assert last.version == 0
            await on_disk.kill()
            await on_disk.restart()
            lost += not await read(subject.store, f"order-{number}")
            assert len(await read(subject.store, f"warm-{number}")) == 20
            if lost:
                break
    assert lost


@pytest.mark.parametrize("driver", DRIVERS)
async def test_nobody_at_the_address_is_unavailable_and_nothing_was_sent(dynamodb, driver):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    nowhere = replace(dynamodb.endpoint, address=address)
    with pytest.raises(StoreUnavailable):
        await STORE.variants[""].connect(nowhere, STORE.options(driver=driver))


@pytest.mark.parametrize("driver", DRIVERS)
async def test_credentials_that_are_refused_are_one_line_without_them(dynamodb, driver):
    """Local takes any key id made of letters and digits, and no other."""
    wrong = {"access_key": "no-such!key", "secret_key": "hunter2"}
    endpoint = replace(dynamodb.endpoint, credentials=wrong)
    with pytest.raises(NoServer) as refused:
        await STORE.variants[""].connect(endpoint, STORE.options(driver=driver))
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("variant", "driver"),
    [("", "boto3"), ("", "http"), ("commit", "http"), ("sequenced", "boto3")],
)
async def test_streams_beyond_a_page_of_a_megabyte_are_read_whole(dynamodb, variant, driver):
    written = [event(b"%02d" % number + b"x" * 100_000) for number in range(14)]
    async with store(dynamodb, variant, driver=driver) as subject:
        for one in written:
            await append(subject.store, "order-1", [one])
        assert ids(await read(subject.store, "order-1")) == ids(written)
        assert ids(await read(subject.store, "order-1", backwards=True)) == ids(written)[::-1]
        assert ids(await read(subject.store, "order-1", start=12)) == ids(written)[12:]
        assert ids(await read_log(subject.store)) == ids(written)


async def test_the_template_reads_the_first_page_and_calls_it_all(dynamodb):
    async with store(dynamodb, "template") as subject:
        for number in range(14):
            one = event(b"%02d" % number + b"x" * 100_000)
            expected = number - 1 if number else NO_STREAM
            await append(subject.store, "order-1", [one], expected=expected)
        assert len(await read(subject.store, "order-1")) < 14
        assert len(await read_log(subject.store)) < 14


async def test_the_templates_second_writer_silently_overwrites_the_first(dynamodb):
    async with store(dynamodb, "template") as subject:
        for payload in (b"1", b"2"):
            await append(subject.store, "order-1", [event(payload)], expected=NO_STREAM)
        assert [one.data for one in await read(subject.store, "order-1")] == [b"2"]


@pytest.mark.parametrize("expected", [StreamState.ANY, StreamState.EXISTS])
async def test_the_templates_append_without_a_version_overwrites_from_the_beginning(
    dynamodb, expected
):
    async with store(dynamodb, "template") as subject:
        first = [event(b"1"), event(b"2")]
        assert (await append(subject.store, "order-1", first, expected=expected)).version == 1
        again = await append(subject.store, "order-1", [event(b"3")], expected=expected)
        recorded = await read(subject.store, "order-1")
    assert again.version == 0
    assert [one.data for one in recorded] == [b"3", b"2"]
    assert versions(recorded) == [0, 1]


async def test_the_template_makes_its_own_ids_and_takes_one_id_twice(dynamodb):
    async with store(dynamodb, "template") as subject:
        twin = event(b"1")
        await append(subject.store, "order-1", [twin, twin])
        recorded = await read(subject.store, "order-1")
        assert len({twin.id, *ids(recorded)}) == 3
        assert await read(subject.store, "order-1") == recorded


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("variant", GUARDED)
async def test_the_largest_event_that_fits_is_written_and_one_byte_more_refused(
    dynamodb, variant, driver
):
    async with store(dynamodb, variant, driver=driver) as subject:
        empty = event(b"", metadata=b"")
        spent = items.size_of(empty) + len(items.partition("order-1"))
        if variant == "commit":
            spent += items.KEY_BYTES_MAX
        fits = event(b"x" * (items.ITEM_BYTES_MAX - spent), metadata=b"")
        await append(subject.store, "order-1", [fits])
        over = event(b"x" * (items.ITEM_BYTES_MAX - spent + 1 + items.KEY_BYTES_MAX), metadata=b"")
        with pytest.raises(EventTooLarge):
            await append(subject.store, "order-1", [over])
        assert ids(await read(subject.store, "order-1")) == [fits.id]


@pytest.mark.parametrize("variant", ["", "sequenced"])
async def test_an_append_over_a_transactions_bytes_is_refused_by_its_own_error(dynamodb, variant):
    async with store(dynamodb, variant, driver="http") as subject:
        fitting = 10 if variant == "" else 5
        batch = [event(b"x" * 400_000) for _ in range(fitting + 1)]
        with pytest.raises(BatchTooLarge):
            await append(subject.store, "order-1", batch)
        await append(subject.store, "order-1", batch[:fitting])
        assert len(await read(subject.store, "order-1")) == fitting


async def test_two_sequencers_on_one_log_are_slow_and_never_wrong(dynamodb):
    async with store(dynamodb, "sequenced", driver="http") as subject:
        other = await subject.connect()
        written = [events(2) for _ in range(40)]
        appending = [
            append((subject.store, other)[number % 2], f"order-{number % 3}", batch)
            for number, batch in enumerate(written)
        ]
        await asyncio.gather(*appending)
        log = await read_log(subject.store)
        assert [one.position for one in log] == [(place,) for place in range(80)]
        assert set(ids(log)) == {one.id for batch in written for one in batch}
        for number in range(3):
            mine = await read(other, f"order-{number}")
            assert versions(mine) == list(range(len(mine)))


@pytest.mark.parametrize("driver", DRIVERS)
async def test_consumed_capacity_is_counted_as_the_server_tells_it(dynamodb, driver):
    """And by the service's rule, since Local forgets most of a transaction."""
    batch = [event(b"x" * 1500), *events(9)]
    for variant, by_rule in (("", 24.0), ("sequenced", 46.0), ("commit", None)):
        async with store(dynamodb, variant, driver=driver) as subject:
            assert isinstance(subject.store, Costed)
            await append(subject.store, "order-1", batch, expected=NO_STREAM)
            costs = subject.store.costs()
            assert costs["write_units"] > 0, variant
            if by_rule is None:
                assert costs["write_units_by_rule"] == costs["write_units"]
            else:
                assert costs["write_units_by_rule"] == by_rule > costs["write_units"], variant


async def units(subject, act):
    """Read units, write units by the rule, and round trips of an action."""
    before = dict(subject.store.costs())
    await act()
    now = subject.store.costs()
    names = ("read_units", "write_units_by_rule", "round_trips")
    return tuple(now[name] - before[name] for name in names)


@pytest.mark.parametrize("length", [1, 100])
async def test_an_append_reads_one_item_at_any_and_none_at_a_version(dynamodb, length):
    """However long the stream is; the ids in the head item cost no more write units."""
    async with store(dynamodb, driver="http") as subject:
        for _ in range(length):
            await append(subject.store, "order-1")
        assert await units(subject, lambda: append(subject.store, "order-1")) == (1, 4, 2)
        at_a_version = await units(
            subject, lambda: append(subject.store, "order-1", expected=length)
        )
        assert at_a_version == (0, 4, 1)


async def test_appends_at_versions_leave_ids_to_be_read_once(dynamodb):
    async with store(dynamodb, driver="http") as subject:
        for number in range(60):
            await append(subject.store, "order-1", expected=number - 1 if number else NO_STREAM)
        first = await units(subject, lambda: append(subject.store, "order-1"))
        second = await units(subject, lambda: append(subject.store, "order-1"))
        assert first[2] == 3
        assert second == (1, 4, 2)


@pytest.mark.parametrize("later", ["ANY", "exact"])
@pytest.mark.parametrize("earlier", ["ANY", "exact"])
async def test_a_retry_at_any_is_known_among_the_newest_events_however_they_came(
    dynamodb, earlier, later
):
    """And forgotten after them: the window that is declared."""
    async with store(dynamodb, driver="http") as subject:
        head = 0

        async def written(batch, how):
            nonlocal head
            expected = StreamState.ANY if how == "ANY" else head
            head = (await append(subject.store, "order-1", batch, expected=expected)).version

        await append(subject.store, "order-1", expected=NO_STREAM)
        batch = events(3)
        await written(batch, earlier)
        for _ in range(IDS_LOOKED_UP - 3):
            await written(events(1), later)
        again = await append(subject.store, "order-1", batch)
        assert (again.version, len(await read(subject.store, "order-1"))) == (3, head + 1)
        with pytest.raises(EventIdReused):
            await append(subject.store, "order-1", [event(), batch[0]])
        for _ in range(3):
            await written(events(1), later)
        forgotten = await append(subject.store, "order-1", batch)
        assert forgotten.version == head + 3


async def test_a_retry_of_more_events_than_the_window_has_is_known(dynamodb):
    async with store(dynamodb, driver="http") as subject:
        batch = events(99)
        first = await append(subject.store, "order-1", batch)
        assert await append(subject.store, "order-1", batch) == first
        await append(subject.store, "order-1", events(IDS_LOOKED_UP - 1))
        assert await append(subject.store, "order-1", batch) == first
        assert len(await read(subject.store, "order-1")) == 99 + IDS_LOOKED_UP - 1


async def test_racing_appends_at_any_are_each_written_once(dynamodb):
    async with store(dynamodb, driver="http") as subject:
        batches = [events(2) for _ in range(IDS_LOOKED_UP // 2)]
        await asyncio.gather(*(append(subject.store, "order-1", each) for each in batches))
        results = await asyncio.gather(
            *(append(subject.store, "order-1", each) for each in batches[-10:])
        )
        written = await read(subject.store, "order-1")
        assert versions(written) == list(range(IDS_LOOKED_UP))
        assert {one.id for one in written} == {one.id for each in batches for one in each}
        assert len({each.version for each in results}) == 10


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(("variant", "by_rule"), [("", 2 + 4), ("commit", 2)])
async def test_a_write_whose_condition_failed_is_billed_by_rule(dynamodb, variant, by_rule, driver):
    """The service bills it; no answer says so."""
    async with store(dynamodb, variant, driver=driver) as subject:
        await append(subject.store, "order-1", expected=NO_STREAM)
        large = event(b"x" * 1500)

        async def conflict():
            with pytest.raises(WrongExpectedVersion):
                await append(subject.store, "order-1", [large], expected=NO_STREAM)

        before = subject.store.costs()["write_units"]
        _, billed, _ = await units(subject, conflict)
        assert subject.store.costs()["write_units"] == before
        assert billed == by_rule


@pytest.mark.parametrize(
    ("codes", "outcome", "tries"),
    [
        (["TransactionInProgressException"], OutcomeUnknown, 10),
        (["TransactionConflictException"], AppendRefused, 10),
        (["TransactionInProgressException", "TransactionConflictException"], OutcomeUnknown, 10),
        (["TransactionConflictException", ""], None, 2),
        (["TransactionInProgressException", ""], None, 2),
    ],
)
async def test_every_try_that_clashes_is_a_round_trip(dynamodb, codes, outcome, tries, monkeypatch):
    """Only the service reports clashes, so its answers are put in the client's place here."""
    monkeypatch.setattr("harness.stores.dynamodb.session._CLASH_PAUSE_S", 0.0)
    async with store(dynamodb, driver="http") as subject:
        session = subject.store._session
        answers = [*codes, *codes[-1:] * 20]
        really = session.client.call

        async def call(operation, body):
            code = answers.pop(0)
            if code:
                raise error_answer({}, code, "made", 400)
            return await really(operation, body)

        monkeypatch.setattr(session.client, "call", call)
        before = dict(subject.store.costs())
        if outcome is None:
            await append(subject.store, "order-1", expected=NO_STREAM)
        else:
            with pytest.raises(outcome):
                await append(subject.store, "order-1", expected=NO_STREAM)
        now = subject.store.costs()
        monkeypatch.undo()
        assert now["round_trips"] - before["round_trips"] == tries
        assert now["clashes"] - before["clashes"] == (tries if outcome else tries - 1)


def test_a_clash_of_transactions_is_no_conflict():
    """Only the service reports clashes, so these answers are spelled as it documents them."""
    head, put = {"Code": "ConditionalCheckFailed"}, {"Code": "None"}
    clash = {"Code": "TransactionConflict"}
    for reasons, kind in (
        ([head, put], Declined),
        ([clash, put], Clashed),
        ([put, clash], Clashed),
        ([head, clash], Declined),
        ([{"Code": "ThrottlingError"}, put], Rejected),
    ):
        answer = {"CancellationReasons": reasons}
        assert type(error_answer(answer, "TransactionCanceledException", "", 400)) is kind
    assert type(error_answer({}, "TransactionInProgressException", "", 400)) is InProgress


def test_a_token_names_an_append_in_36_characters():
    one, other = events(2)
    token = items.token("order-1", 4, [one, other])
    assert len(token) == 36
    assert token == items.token("order-1", 4, [one, other])
    changed = replace(one, data=b"{}")
    for differs in (
        ("order-2", 4, [one, other]),
        ("order-1", 5, [one, other]),
        ("order-1", 4, [other, one]),
        ("order-1", 4, [changed, other]),
    ):
        assert items.token(*differs) != token
