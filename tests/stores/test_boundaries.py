"""Consistency boundaries, one contract for all stores that have them.

Whether two appends that hit each other are both refused, or one wins, is decided by real races
over two connections. The reference is `BoundaryMemory`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from uuid import uuid4

import pytest

from harness.domain.boundaries import (
    TAGGED,
    Boundaries,
    BoundaryAppend,
    BoundaryEvent,
    BoundaryItem,
    TaggedEvent,
)
from harness.domain.errors import (
    AppendRefused,
    BoundaryViolated,
    EmptyAppend,
    EventIdReused,
    ReadFailed,
    StreamNotFound,
)
from harness.domain.store import Adapter, Position
from harness.scenario.names import StoreRef
from harness.stores import kinds
from harness.stores.postgres.boundary import Boundary
from harness.stores.sqlite.boundary import BoundarySqlite, _rarest_first

from .cases import Case
from .conftest import Opening
from .contract.support import append, following, ids, read, read_log
from .subject import Subject

STORES = (
    StoreRef("memory", "boundary"),
    StoreRef("sqlite", "boundary"),
    *(StoreRef("postgres", "boundary", {"lock": each}) for each in ("tags", "serializable", "one")),
    StoreRef("umadb"),
)
DOUBLED = (StoreRef("eventstoredb", "multi"),)
"""On a double of their server."""
EVERYTHING: tuple[BoundaryItem, ...] = ()


def case(ref: StoreRef, *, double: bool = False) -> Case:
    """The store, on a server of its own or a double."""
    return Case(kinds()[ref.technology], ref, double)


CASES = (*map(case, STORES), *(case(each, double=True) for each in DOUBLED))

beside_streams = pytest.mark.parametrize(
    "bounded", [*CASES, case(StoreRef("umadb", "position"))], ids=str, indirect=True
)
"""UmaDB's designs have one way with boundaries, and two of telling versions."""


@pytest.fixture(params=CASES, ids=str)
def bounded(request: pytest.FixtureRequest, opening: Opening) -> Iterator[Subject]:
    """A store with boundaries, open on a fresh namespace."""
    with opening(request.param) as bounded:
        yield bounded


def item(types: str = "", tags: str = "") -> BoundaryItem:
    """Of words with spaces between."""
    return BoundaryItem(tuple(types.split()), tuple(tags.split()))


def tagged(type_: str, tags: str = "", **more) -> TaggedEvent:
    """A fresh event with tags, words with spaces between."""
    data = more.pop("data", json.dumps({"of": type_}).encode())
    return TaggedEvent(more.pop("id", uuid4()), type_, data, tags=tuple(tags.split()), **more)


async def write(store: Boundaries, *events: TaggedEvent) -> None:
    """On no condition."""
    await store.append_if(events, fail_if_match=None)


async def found(store: Boundaries, *items: BoundaryItem, **how) -> list:
    """The ids of a boundary's events."""
    return [each.event.id for each in (await store.query(items, **how)).events]


ONE, TWO = tagged("Opened", "account:1 bank:1"), tagged("Paid", "account:1 account:2")
THREE, FOUR = tagged("Opened", "account:3 bank:1"), tagged("Closed")
HISTORY = (ONE, TWO, THREE, FOUR)

BOUNDARIES = {
    "everything": (EVERYTHING, HISTORY),
    "an item of nothing is everything": ((item(),), HISTORY),
    "a type": ((item("Opened"),), (ONE, THREE)),
    "two types": ((item("Opened Closed"),), (ONE, THREE, FOUR)),
    "a tag": ((item(tags="account:1"),), (ONE, TWO)),
    "two tags": ((item(tags="bank:1 account:1"),), (ONE,)),
    "a type and a tag": ((item("Opened", "bank:1"),), (ONE, THREE)),
    "types and tags": ((item("Paid Closed", "account:2 account:1"),), (TWO,)),
    "two items": ((item("Closed"), item(tags="account:2")), (TWO, FOUR)),
    "items with an event in common": ((item("Opened"), item(tags="account:1")), (ONE, TWO, THREE)),
    "a tag that is the beginning of another": ((item(tags="account:"),), ()),
    "tags of different events": ((item(tags="account:2 account:3"),), ()),
    "a tag of an event of another type": ((item("Closed", "account:1"),), ()),
    "one of them and everything": ((item("Paid"), item()), HISTORY),
}


@beside_streams
async def test_a_query_finds_the_events_that_match_oldest_first(bounded):
    await write(bounded.store, ONE, TWO)
    await append(bounded.store, "order-1")
    await write(bounded.store, THREE)
    await write(bounded.store, FOUR)
    for name, (items, expected) in BOUNDARIES.items():
        assert await found(bounded.store, *items) == ids(expected), name


async def test_events_come_back_with_their_content_and_tags(bounded):
    mixed = tagged("Paid", "ä,b {c} 'd' 'd' \"e\\", metadata=b'{"by": "me"}')
    await write(bounded.store, mixed, FOUR)
    first, second = (await bounded.store.query(EVERYTHING)).events
    event = first.event
    assert (event.id, event.type, event.data, event.metadata) == (
        mixed.id,
        mixed.type,
        mixed.data,
        mixed.metadata,
    )
    assert (first.tags, second.tags) == (frozenset(mixed.tags), frozenset())
    assert event.stream == second.event.stream == TAGGED
    assert event.version != second.event.version
    assert event.position < second.event.position


async def test_an_empty_log_is_a_state_to_append_on(bounded):
    state = await bounded.store.query(EVERYTHING)
    assert state.events == ()
    if bounded.declared.boundaries == "emulated":  # a server may have one log for all
        assert state.head is None
    await bounded.store.append_if([ONE], fail_if_match=EVERYTHING, after=state.head)
    assert await found(bounded.store) == [ONE.id]


async def test_an_event_that_matches_refuses_an_append_and_no_other_does(bounded):
    store = bounded.store
    refused = dict.fromkeys(BOUNDARIES, ())
    for event in HISTORY:
        for name, (items, _) in BOUNDARIES.items():
            head = (await store.query(items)).head
            await write(store, tagged(event.type, " ".join(event.tags)))
            own = tagged("Own", "own:1")
            if not await _written(store, own, fail_if_match=items, after=head):
                refused[name] += (event,)
                assert own.id not in await found(store, item("Own"))
    assert refused == {name: expected for name, (_, expected) in BOUNDARIES.items()}


async def _written(store: Boundaries, event: TaggedEvent, **condition) -> bool:
    try:
        await store.append_if([event], **condition)
    except BoundaryViolated:
        return False
    return True


async def test_only_what_was_written_after_the_state_read_refuses(bounded):
    store = bounded.store
    await write(store, ONE)
    older = await store.query([item(tags="account:1")])
    await write(store, TWO)
    newer = await store.query([item(tags="account:1")])
    await append(store, "order-1")
    condition = [item(tags="account:1")]
    with pytest.raises(BoundaryViolated):
        await store.append_if([tagged("Paid")], fail_if_match=condition, after=older.head)
    with pytest.raises(BoundaryViolated):
        await store.append_if([tagged("Paid")], fail_if_match=condition)
    await store.append_if([tagged("Paid")], fail_if_match=condition, after=newer.head)
    assert ids([each.event for each in newer.events]) == ids([ONE, TWO])
    assert await found(store, *condition, after=older.head) == [TWO.id]
    assert await found(store, *condition, after=newer.head) == []


@beside_streams
async def test_events_of_streams_refuse_nothing(bounded):
    head = (await bounded.store.query(EVERYTHING)).head
    await append(bounded.store, "order-1")
    read = await bounded.store.query(EVERYTHING)
    assert read.events == ()
    await bounded.store.append_if([ONE], fail_if_match=EVERYTHING, after=head)


async def test_a_batch_is_written_as_a_whole_or_not_at_all(bounded):
    store = bounded.store
    await write(store, ONE)
    with pytest.raises(BoundaryViolated):
        await store.append_if([TWO, THREE], fail_if_match=[item("Opened")])
    with pytest.raises(EmptyAppend):
        await store.append_if([], fail_if_match=None)
    with pytest.raises(EventIdReused):
        await store.append_if([TWO, TWO], fail_if_match=None)
    with pytest.raises(EventIdReused):
        await store.append_if([TWO, ONE], fail_if_match=None)
    assert await found(store) == [ONE.id]
    result = await store.append_if([TWO, THREE, FOUR], fail_if_match=[item("Closed")])
    log = await read_log(store)
    assert ids(log) == ids([ONE, TWO, THREE, FOUR])
    assert result.position == log[-1].position


async def test_a_retry_gets_the_first_result_whatever_was_written_since(bounded):
    store = bounded.store
    condition = [item(tags="account:1")]
    first = await store.append_if([ONE, TWO], fail_if_match=condition)
    await write(store, tagged("Paid", "account:1"))
    again = await store.append_if([ONE, TWO], fail_if_match=condition)
    assert again.position == first.position
    assert len(await found(store)) == 3


async def test_tags_in_another_order_or_twice_are_the_same_tags(bounded):
    event = tagged("Paid", "a b")
    first = await bounded.store.append_if([event], fail_if_match=[item(tags="a")])
    other = tagged("Paid", "b a b", id=event.id)
    again = await bounded.store.append_if([other], fail_if_match=[item(tags="a")])
    assert again.position == first.position


OTHERS = {
    "other data": [tagged("Opened", "account:1 bank:1", id=ONE.id, data=b'"other"'), TWO],
    "another type": [tagged("Closed", "account:1 bank:1", id=ONE.id), TWO],
    "other metadata": [tagged("Opened", "account:1 bank:1", id=ONE.id, metadata=b'"x"'), TWO],
    "a tag more": [tagged("Opened", "account:1 bank:1 x", id=ONE.id), TWO],
    "a tag less": [ONE, tagged("Paid", "account:1", id=TWO.id)],
    "no tags": [tagged("Opened", id=ONE.id), TWO],
    "another order": [TWO, ONE],
    "a new event behind": [ONE, TWO, THREE],
    "a new event before": [THREE, ONE, TWO],
}


async def test_known_ids_with_anything_else_are_refused(bounded):
    condition = [item(tags="account:1")]
    await bounded.store.append_if([ONE, TWO], fail_if_match=condition)
    for change, events in OTHERS.items():
        with pytest.raises((EventIdReused, BoundaryViolated)) as refusal:
            await bounded.store.append_if(events, fail_if_match=condition)
        if bounded.declared.idempotency == "durable":
            assert refusal.type is EventIdReused, change
        assert await found(bounded.store) == ids([ONE, TWO]), change


async def test_a_retry_without_a_condition_gets_the_first_result_too(bounded):
    first = await bounded.store.append_if([ONE, TWO], fail_if_match=None)
    await write(bounded.store, THREE)
    again = await bounded.store.append_if([ONE, TWO], fail_if_match=None)
    assert again.position == first.position
    elsewhere = [item("Nobody")]
    first = await bounded.store.append_if([FOUR], fail_if_match=elsewhere)
    again = await bounded.store.append_if([FOUR], fail_if_match=elsewhere)
    assert again.position == first.position
    assert await found(bounded.store) == ids(HISTORY)


async def test_an_id_of_a_stream_s_event_is_refused_where_ids_are_the_store_s(bounded):
    await append(bounded.store, "order-1", [ONE])
    if bounded.declared.idempotency == "durable":
        with pytest.raises(EventIdReused):
            await bounded.store.append_if([ONE], fail_if_match=None)
        assert await found(bounded.store) == []
    else:
        await write(bounded.store, ONE)


ODD = ("", "t:a", "a\0b", "a\ud800b", "x" * 100_000)
"""Names that a store may not be able to keep."""


async def test_an_odd_name_is_kept_or_refused(bounded):
    """And found then, as a tag and as a type, by itself and by nothing else."""
    store = bounded.store
    await write(store, tagged("Plain", "plain t:t:a y:t:a"))
    for odd in ODD:
        for event, its in (
            (TaggedEvent(uuid4(), "Odd", b"{}", tags=(odd,)), BoundaryItem(tags=(odd,))),
            (TaggedEvent(uuid4(), odd, b"{}", tags=("odd",)), BoundaryItem((odd,))),
        ):
            kept = []
            with contextlib.suppress(AppendRefused):
                await store.append_if([event], fail_if_match=[its])
                kept = [event.id]
            with contextlib.suppress(ReadFailed):
                assert await found(store, its) == kept, odd[:9]
            assert await found(store, item(tags="plain")) != kept


async def test_the_same_append_twice_at_once_is_written_once(bounded):
    other = await bounded.connect()
    for number in range(10):
        event = tagged("Paid", f"n:{number}")
        appends = (each.append_if([event], fail_if_match=None) for each in (bounded.store, other))
        one, two = await asyncio.gather(*appends)
        assert one.position == two.position


async def test_the_name_of_no_stream_is_no_stream_s(bounded):
    with pytest.raises(AppendRefused):
        await append(bounded.store, TAGGED)
    with pytest.raises(StreamNotFound):
        [event async for event in bounded.store.read_stream(TAGGED)]


@beside_streams
async def test_streams_and_tagged_events_share_the_log_and_nothing_else(bounded):
    store = bounded.store
    async with following(store) as follower, following(store, category="order") as category:
        await append(store, "order-1")
        await write(store, ONE, TWO)
        await append(store, "order-1")
        await write(store, THREE)
        log = await read_log(store)
        assert [event.stream for event in log] == ["order-1", TAGGED, TAGGED, "order-1", TAGGED]
        assert await follower.until(5) == log
        assert await category.until(2) == [log[0], log[3]]
    assert await read(store, "order-1") == [log[0], log[3]]
    assert [each.event for each in (await store.query(EVERYTHING)).events] == [
        log[1],
        log[2],
        log[4],
    ]
    assert [event.version for event in await read(store, "order-1")] == [0, 1]
    assert await read_log(store, after=log[1].position) == log[2:]
    assert await found(store, after=log[1].position) == ids([TWO, THREE])


async def test_a_limit_cuts_a_query_and_reading_on_finds_the_rest(bounded):
    store = bounded.store
    events = [tagged("Paid", f"n:{number} all") for number in range(7)]
    for event in events[:6]:
        await write(store, event)
    whole = (await store.query([item(tags="all")])).events
    read: list[BoundaryEvent] = []
    after = None
    while True:
        page = await store.query([item(tags="all")], after=after, limit=2)
        read += page.events
        after = page.head
        if len(read) == 4:
            await write(store, events[6])
        if len(page.events) < 2:
            break
    assert read[:6] == list(whole)
    assert ids([each.event for each in read]) == ids(events)
    assert (await store.query([item(tags="all")], limit=0)).events == ()
    await store.append_if([tagged("Last")], fail_if_match=[item(tags="all")], after=after)


HITTING = (
    ((item("Taken", "seat:{n}"),), "Taken", "seat:{n} row:{n}"),
    ((item(tags="row:{n}"),), "Taken", "row:{n} seat:{n}"),
    ((item("Taken"),), "Taken", "seat:{n} row:{n} hall"),
    ((item(tags="hall row:{n}"), item("Left Taken")), "Taken", "row:{n} seat:{n}"),
    (EVERYTHING, "Taken", "row:{n} seat:{n} hall"),
)
"""Differently worded boundaries, and for each an event that all of the others exclude."""
RACES = 40


def _worded(wording, number: int) -> tuple[list[BoundaryItem], TaggedEvent]:
    items, type_, tags = wording
    filled = [
        BoundaryItem(each.types, tuple(tag.format(n=number) for tag in each.tags)) for each in items
    ]
    return filled, tagged(type_, tags.format(n=number))


async def _race(one: Adapter, other: Adapter, pair: Sequence, number: int) -> int:
    """Both decide on the same state, then both append; how many were written."""
    appends = []
    for store, wording in zip((one, other), pair, strict=True):
        items, event = _worded(wording, number)
        head = (await store.query(items)).head
        appends.append(_written(store, event, fail_if_match=items, after=head))
    return sum(await asyncio.gather(*appends))


async def test_of_two_boundaries_that_hit_each_other_one_wins(bounded):
    """Write skew: neither append excludes what it writes itself alone."""
    stores = bounded.store, await bounded.connect()
    pairs = [*permutations(HITTING, 2)]
    won = [await _race(*stores, pairs[number % len(pairs)], number) for number in range(RACES)]
    assert Counter(won) == {1: RACES}


async def test_an_append_that_misses_an_event_comes_before_it_in_the_log(bounded):
    """The condition of one is hit by what the other writes without any."""
    if getattr(bounded.options, "lock", "") == "serializable":
        return  # declared: its order may be another than the log's
    store, other, missed = bounded.store, await bounded.connect(), []
    for number in range(RACES):
        hit, own = tagged("Hit", f"a:{number}"), tagged("Own", f"b:{number}")
        condition = [item(tags=f"a:{number}")]
        head = (await store.query(condition)).head
        appends = (
            _written(store, hit, fail_if_match=None),
            _written(other, own, fail_if_match=condition, after=head),
        )
        if await asyncio.gather(*appends) == [True, True]:
            missed.append((own.id, hit.id))
    log = ids(await read_log(store))
    assert [pair for pair in missed if log.index(pair[0]) > log.index(pair[1])] == []


def _postgres(lock: str) -> Callable:
    ref = StoreRef("postgres", "boundary", {"lock": lock})
    return pytest.mark.parametrize("bounded", [case(ref)], ids=str, indirect=True)


IN_FLIGHT = """
    SELECT write_tagged(ARRAY[$1::uuid], ARRAY['Paid'], ARRAY['{}'::bytea], ARRAY[''::bytea],
                        jsonb_build_array(jsonb_build_array($2::text)), NULL, NULL, '0', 0, false)
"""


@_postgres("tags")
async def test_what_was_in_flight_during_a_query_was_written_after_it(bounded):
    """Its transaction began before others whose events the query found."""
    store, late = bounded.store, uuid4()
    await write(store, tagged("Paid", "a"))
    async with store._session.pool.transaction() as connection:
        await connection.execute("SELECT pg_current_xact_id()")
        await connection.fetch(IN_FLIGHT, late, "b")
        await write(store, tagged("Paid", "c"))
        await write(store, tagged("Paid", "c"))
        state = await store.query(EVERYTHING)
        cut = await store.query(EVERYTHING, limit=2)
        assert (len(state.events), len(cut.events)) == (3, 2)
    assert await found(store, after=state.head) == [late]
    for condition in EVERYTHING, [item("Paid")], [item(tags="b")]:
        with pytest.raises(BoundaryViolated):
            await store.append_if([tagged("Own")], fail_if_match=condition, after=state.head)
    await store.append_if([tagged("Own")], fail_if_match=[item(tags="c")], after=state.head)
    on = await store.query(EVERYTHING, after=cut.head, limit=2)
    assert ids([each.event for each in on.events]) == [state.events[2].event.id, late]
    again = await store.query([item(tags="b")], after=on.head)
    assert again.events == ()


@_postgres("tags")
async def test_a_head_covers_no_transaction_that_left_nothing(bounded):
    """A crash may forget the ids of those, and the server gives them to events afterwards."""
    store = bounded.store
    assert (await store.query(EVERYTHING)).head is None
    await write(store, ONE, TWO)
    for _ in range(3):
        with pytest.raises(EventIdReused):
            await write(store, tagged("Paid", id=ONE.id))
    whole, cut = await store.query(EVERYTHING), await store.query(EVERYTHING, limit=2)
    newest = whole.events[-1].event.position
    assert max(whole.head) == newest[0] + 1
    assert max(cut.head) == max(newest[0] + 1, newest[1])


async def _first_of_postgres(store, tags: Sequence[str], after: Position | None) -> str:
    place = after or (0, 0)
    ((key,),) = await store._session.read("SELECT rarest_key($1, $2, $3)", tags, *place)
    return key.removeprefix("t:")


async def _first_of_sqlite(store, tags: Sequence[str], after: Position | None) -> str:
    place = after[0] if after else 0
    first, *_ = await store._reader.call(_rarest_first, tags, place)
    return first


READS_BY = {Boundary: _first_of_postgres, BoundarySqlite: _first_of_sqlite}


@pytest.mark.parametrize(
    "bounded",
    [case(StoreRef(name, "boundary")) for name in ("postgres", "sqlite")],
    ids=str,
    indirect=True,
)
async def test_an_item_reads_by_the_rarest_of_its_tags_from_its_state_on(bounded):
    store, first_of = bounded.store, READS_BY[bounded.adapter]
    await write(store, *(tagged("Paid", "common") for _ in range(700)))
    await write(store, *(tagged("Paid", "common less") for _ in range(65)))
    head = (await store.query(EVERYTHING)).head
    await write(store, tagged("Paid", "common rare"), tagged("Paid", "less rare"))

    async def first(tags: str, after: Position | None = None) -> str:
        return await first_of(store, tags.split(), after)

    assert await first("common rare") == "rare"
    assert await first("common less") == await first("less common") == "less"
    assert await first("rare unseen") == "unseen"
    (newest,) = (await store.query([item(tags="common rare")], after=head)).events
    assert await first("rare common", after=newest.event.position) == "common"
    assert await first("common less", after=newest.event.position) == "common"


@_postgres("serializable")
async def test_a_loser_waits_for_a_winner_whose_commit_is_slow(bounded, monkeypatch):
    """Until the commit is synced, the server rolls the loser back and does not show it why.

    Without pauses, thirty tries fit into that commit on a busy machine, too.
    """
    monkeypatch.setattr("harness.stores.postgres.boundary.TRIES_MAX", 30)
    store, condition = bounded.store, [item(tags="seat:1")]
    head = (await store.query(condition)).head
    await _alter(store, "SET commit_delay = 100000", "SET commit_siblings = 0")  # 100 ms
    try:
        racers = [await bounded.connect() for _ in range(2)]
        results = await asyncio.gather(
            *(
                each.append_if([tagged("Taken", "seat:1")], fail_if_match=condition, after=head)
                for each in racers
            ),
            return_exceptions=True,
        )
    finally:
        await _alter(store, "RESET ALL")
    assert {type(each) for each in results} == {BoundaryAppend, BoundaryViolated}, results


async def _alter(store, *changes: str) -> None:
    """Of the database, for connections that are opened from now on."""
    async with store._session.pool.transaction() as connection:
        name = await connection.fetchval("SELECT quote_ident(current_database())")
        for change in changes:
            await connection.execute(f"ALTER DATABASE {name} {change}")


@_postgres("serializable")
async def test_serializable_counts_its_tries_and_gives_up(bounded, monkeypatch):
    """Sixteen boundaries without an event in common are on one page of the index."""
    store, tries, given_up = bounded.store, 0, []
    for number in range(20):
        batch = [(tagged("Paid", f"n:{number}:{each}"), f"n:{number}:{each}") for each in range(16)]
        appends = [store.append_if([e], fail_if_match=[item(tags=tag)]) for e, tag in batch]
        results = await asyncio.gather(*appends, return_exceptions=True)
        refused = [each for each in results if isinstance(each, Exception)]
        given_up += [each.reason for each in refused]
        tries = max([tries, *(each.tries for each in results if each not in refused)])
        written = set(await found(store, item("Paid")))
        ours = [e.id in written for e, _ in batch]
        assert ours == [not isinstance(each, Exception) for each in results]
        if tries > 1:
            monkeypatch.setattr("harness.stores.postgres.boundary.TRIES_MAX", 1)
        if given_up:
            break
    assert tries > 1
    assert set(given_up) == {"SerializationFailure"}
