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

from harness.costs import Costed
from harness.errors import (
    BatchTooLarge,
    EventTooLarge,
    NoServer,
    OutcomeUnknown,
    StoreUnavailable,
    WrongExpectedVersion,
)
from harness.servers import probe
from harness.store import Durability
from harness.stores.dynamodb import STORE, items
from harness.stores.dynamodb.driver import Declined
from harness.stores.dynamodb.session import _clashed, _conditional

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


async def refused_put(subject):
    """A single conditional put that finds its place taken."""
    with pytest.raises(Declined):
        await subject.store._put(
            items.key(items.partition("order-1"), 0),
            ConditionExpression="attribute_not_exists(PK)",
        )


async def fastest_ms(act):
    took = []
    for _ in range(100):
        began = time.perf_counter()
        await act()
        took.append((time.perf_counter() - began) * 1e3)
    return statistics.quantiles(took, n=10)[0]


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


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("variant", GUARDED)
async def test_streams_beyond_a_page_of_a_megabyte_are_read_whole(dynamodb, variant, driver):
    written = [event(b"%02d" % number + b"x" * 100_000) for number in range(30)]
    async with store(dynamodb, variant, driver=driver) as subject:
        for one in written:
            await append(subject.store, "order-1", [one])
        assert ids(await read(subject.store, "order-1")) == ids(written)
        assert ids(await read(subject.store, "order-1", backwards=True)) == ids(written)[::-1]
        assert ids(await read(subject.store, "order-1", start=25)) == ids(written)[25:]
        assert ids(await read_log(subject.store)) == ids(written)


async def test_the_template_reads_the_first_page_and_calls_it_all(dynamodb):
    async with store(dynamodb, "template") as subject:
        for number in range(30):
            await append(subject.store, "order-1", [event(b"%02d" % number + b"x" * 100_000)])
        assert len(await read(subject.store, "order-1")) < 15
        assert len(await read_log(subject.store)) < 15


async def test_the_templates_second_writer_silently_overwrites_the_first(dynamodb):
    async with store(dynamodb, "template") as subject:
        first, second = event(), event()
        await append(subject.store, "order-1", [first], expected=NO_STREAM)
        await append(subject.store, "order-1", [second], expected=NO_STREAM)
        assert ids(await read(subject.store, "order-1")) == [second.id]


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


def test_a_clash_of_transactions_is_no_conflict():
    """Only the service reports clashes, so these answers are spelled as it documents them."""
    head, put = {"Code": "ConditionalCheckFailed"}, {"Code": "None"}
    clash = {"Code": "TransactionConflict"}
    for reasons, clashed, conditional in (
        ([head, put], False, True),
        ([clash, put], True, False),
        ([put, clash], True, False),
        ([head, clash], False, True),
        ([{"Code": "ThrottlingError"}, put], False, False),
    ):
        error = Declined("TransactionCanceledException", "", status=400, reasons=reasons)
        assert (_clashed(error), _conditional(error)) == (clashed, conditional)


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
