"""Ordered: within a stream, and in the log of all streams."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from uuid import UUID

from harness.conformance.batches import in_batch_order
from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Company, Step, check
from harness.conformance.declared import ALWAYS, GAP_FREE, IN_ORDER, KEEPS
from harness.conformance.following import listed
from harness.conformance.holding import held, while_open
from harness.conformance.judged import judge
from harness.conformance.log_order import (
    in_order,
    processes_beside_a_stranger,
    read_while_many_write,
    read_while_processes_write,
)
from harness.conformance.paging import (
    BATCH,
    LARGE_BYTES,
    LARGE_EVENTS,
    LONG_EVENTS,
    PAGE,
    came_whole,
    exact,
    in_batches,
    large,
    paged,
    write,
)
from harness.conformance.racing import (
    CONNECTIONS,
    RACERS,
    Attempt,
    append_alone,
    enough,
    enough_between,
    met,
    race,
    sort_out,
)
from harness.conformance.tailing import GRACE_S, Tail, require_log, tailing
from harness.errors import NotWritten
from harness.history import Kind
from harness.store import AppendResult, RecordedEvent, StreamState

ANY = StreamState.ANY
HELD_ROUNDS = 3
TRIES = 4
"""Races again, where events are missing from a log that may be inverted as well."""


@check(
    7,
    provokes="appends of one to three events by several connections at once to one stream",
    leaves="the versions that were read, or the answer that differs from where its event stands",
    declaration=KEEPS,
)
async def versions_are_contiguous_from_zero(bench: Bench) -> None:
    """Versions of a stream count from 0 without gaps, and results say them."""
    stream, stores = bench.stream(), await bench.writers(CONNECTIONS)
    attempts: list[Attempt] = []
    for size in (1, 2, 3):
        attempts += await race(bench, stores, stream, ANY, size=size)
    recorded = await bench.read(stream)
    judge(attempts, recorded, Kind.NOT_CONTIGUOUS, Kind.LOST, Kind.MISPLACED)
    judge(attempts, recorded, Kind.WRITTEN_THOUGH_REFUSED)
    _positioned(attempts, recorded)
    enough(met([attempts]))


def _positioned(attempts: Sequence[Attempt], recorded: Sequence[RecordedEvent]) -> None:
    """Each answer says the position at which its last event is read, if it says any."""
    positions = {event.id: event.position for event in recorded}
    for each in attempts:
        told = each.ended.position if isinstance(each.ended, AppendResult) else None
        read = positions[each.batch[-1].id] if told is not None else None
        if told != read:
            steps = [Step("the answer", "said", f"position {told}"),
                     Step("a reader", f"read {each.stream!r}", f"position {read}")]  # fmt: skip
            raise Broken("an answer tells another position", [each.step(attempts), *steps])


@check(
    8,
    provokes="batches of 20 events by several connections at once to one stream",
    leaves="the batch, and the events of it that were read in another order, or apart",
    declaration=KEEPS,
)
async def the_order_of_a_batch_is_kept(bench: Bench) -> None:
    """The events of an append stand in the order given, in stream and log; together, if atomic."""
    stream, stores = bench.stream(), await bench.writers(CONNECTIONS)
    attempts = await race(bench, stores, stream, ANY, size=20)
    in_batch_order(bench, attempts, await bench.read(stream), "the stream")
    if bench.guarantees.global_order != "none":
        in_batch_order(bench, attempts, await bench.log([stream]), "the log")
    enough(met([attempts]))


@check(
    9,
    provokes="holds an append's transaction open while a later one commits and a reader passes it;"
    " then writers over several connections and from several processes while a reader tails",
    leaves="who wrote what in which order, and what the reader read",
    declaration=GAP_FREE,
    company=Company.NOBODY,
)
async def a_tailing_reader_misses_nothing(bench: Bench) -> None:
    """A reader that follows the global log gets every event that was committed, once."""
    await require_log(bench)
    if bench.holds_transactions:
        for _ in range(HELD_ROUNDS):
            await _a_late_commit_is_read(bench)
    attempts = await read_while_many_write(bench)
    enough(sort_out(attempts))
    if bench.many_processes:
        await read_while_processes_write(bench)


async def _a_late_commit_is_read(bench: Bench) -> None:
    late, early, end = (bench.stream() for _ in range(3))
    start = await bench.append(bench.stream(), bench.events())
    batches = [bench.events(), bench.events(), bench.events()]
    ids = [batch[0].id for batch in batches]
    async with tailing(bench, [late, early, end], after=start.position) as tail, held(bench) as tx:
        await tx.append(late, batches[0], by="the late writer")
        beside = while_open(bench.append(early, batches[1], by="the early writer"))
        seen = await tail.sees([ids[1]], within_s=GRACE_S)
        _looked(bench, "the early event", seen=seen)
        await tx.commit(by="the late writer")
        await beside
        await bench.append(end, batches[2], by="the early writer")
        await _read_all_of(tail, ids, bench)


def _looked(bench: Bench, what: str, *, seen: bool) -> None:
    """Whether a reader was let pass the open transaction, as a line of evidence."""
    told = "had read it" if seen else f"had not read it within {GRACE_S:g} s"
    step = Step("the tailing reader", f"looked for {what} before the commit", told, bench.at_ms())
    bench.steps.append(step)


async def _read_all_of(tail: Tail, ids: Sequence[UUID], bench: Bench) -> None:
    """The last of `ids` must be read, and the others by then, or a moment later."""
    await tail.must_see([ids[-1]], bench.steps[-6:])
    if not await tail.sees(ids, within_s=2 * GRACE_S):
        raise Broken(
            "the reader passed over an event that committed late", [*bench.steps[-6:], tail.step()]
        )


@check(
    10,
    provokes=f"{RACERS} writers at once on the same streams, over several connections and from"
    " several processes, then a read of the whole log",
    leaves="the two events of one stream that stand the wrong way round, who appended them and"
    " where they were read; or the event that has another version in the log",
    declaration=IN_ORDER,
)
async def the_log_respects_the_order_of_streams(bench: Bench) -> None:
    """In the log, each stream's events stand in order, at the versions that appends were told."""
    await require_log(bench)
    for last in [False] * TRIES + [True]:
        if await in_order(bench, last=last):
            return


@check(
    11,
    provokes="a transaction that has its number before it appends behind one that came later, then"
    " behind appends from several processes",
    leaves="the appends, and the order in which the log has them",
    declaration=IN_ORDER,
    company=Company.NOBODY,
)
async def no_inversion_when_a_transaction_starts_early(bench: Bench) -> None:
    """A writer whose transaction began early does not invert its stream in the log."""
    await require_log(bench)
    for _ in range(HELD_ROUNDS):
        stream = bench.stream()
        async with held(bench, early=True) as tx:
            await bench.append(stream, bench.events(), by="the late starter")
            try:
                await tx.append(stream, bench.events(), by="the early starter")
                await tx.commit(by="the early starter")
            except NotWritten:
                continue
        await _not_inverted(bench, stream, 2, bench.steps[-3:])
    if bench.many_processes:
        await _an_early_one_among_processes(bench)


async def _an_early_one_among_processes(bench: Bench) -> None:
    stream = bench.stream()
    async with held(bench, early=True) as tx:
        by_process = await bench.in_processes(append_alone, stream)
        with suppress(NotWritten):
            await tx.append(stream, bench.events(), by="the early starter")
            await tx.commit(by="the early starter")
    attempts = list(chain.from_iterable(by_process))
    late = [each.step(attempts) for each in attempts[-1:]]
    won = sum(each.won for each in attempts)
    await _not_inverted(bench, stream, won, [*late, *bench.steps[-2:]])
    enough_between(by_process)


async def _not_inverted(bench: Bench, stream: str, least: int, steps: Sequence[Step]) -> None:
    log = await bench.log([stream])
    versions = [event.version for event in log]
    if len(versions) < least or versions != list(range(len(versions))):
        read = Step("a reader", "read the log", listed(log), bench.at_ms())
        raise Broken("the log inverts a stream", [*steps, read])


@check(
    12,
    provokes="keeps a transaction open that has nothing to do with the log, appends meanwhile, over"
    " a connection and from several processes, and reads on after it ended",
    leaves="what was appended while it was open, and what the reader read",
    declaration=GAP_FREE,
    company=Company.NOBODY,
)
async def a_foreign_open_transaction_delays_and_never_loses(bench: Bench) -> None:
    """Somebody else's open transaction may delay readers of the log, and loses them nothing."""
    await require_log(bench)
    start = await bench.append(bench.stream(), bench.events())
    streams, batches = [bench.stream(), bench.stream()], [bench.events(3), bench.events(3)]
    async with tailing(bench, streams, after=start.position) as tail, held(bench, early=True) as tx:
        beside = while_open(bench.append(streams[0], batches[0], by="the writer"))
        written = [batches[0][-1].id]
        seen = await tail.sees(written, within_s=GRACE_S)
        _looked(bench, "what was written", seen=seen)
        await tx.commit(by="the stranger")
        await beside
        await bench.append(streams[1], batches[1], by="the writer")
        await tail.must_see([event.id for batch in batches for event in batch], bench.steps[-5:])
    if bench.many_processes:
        await processes_beside_a_stranger(bench)


@check(
    13,
    provokes="rolls back an append that already had its place, between two that were kept",
    leaves="what was appended after the rollback, and what was read of the log or the stream",
    declaration=GAP_FREE,
    company=Company.NOBODY,
)
async def a_rolled_back_append_leaves_no_stall(bench: Bench) -> None:
    """The log goes on behind an append that was rolled back; nothing of that is ever read."""
    await require_log(bench)
    start = await bench.append(bench.stream(), bench.events())
    stream, kept, undone = bench.stream(), [bench.events(2), bench.events(2)], bench.events(2)
    async with tailing(bench, [stream], after=start.position) as tail, held(bench) as tx:
        await tx.append(stream, undone, by="who rolls back")
        beside = while_open(bench.append(stream, kept[0], by="the writer"))
        await asyncio.sleep(GRACE_S / 5)
        await tx.roll_back(by="who rolls back")
        await beside
        await bench.append(stream, kept[1], by="the writer")
        await tail.must_see([event.id for batch in kept for event in batch], bench.steps[-4:])
        read = Step("a reader", f"read {stream!r}", listed(found := await bench.read(stream)))
        ghosts = {event.id for event in undone} & {event.id for event in (*tail.events, *found)}
        if ghosts:
            raise Broken("what was rolled back was read", [*bench.steps[-4:], tail.step(), read])


@check(
    14,
    provokes="reads a stream of 30 events from several starts, with several limits, both ways, and"
    f" the log in pages of {PAGE * PAGE}, and with a limit of 0",
    leaves="the append of the first event that differs, the read that was asked for, and what came",
    declaration=ALWAYS,
)
async def limits_and_backward_reads_are_exact(bench: Bench) -> None:
    """A read gives exactly the events asked for: from a start, up to a limit, either way."""
    written = await write(bench, bench.stream(), (bench.events(3) for _ in range(10)))
    await exact(bench, written, await bench.read(written.stream))
    if bench.guarantees.global_order != "none":
        await paged(bench, written)


@check(
    15,
    provokes=f"reads {LARGE_EVENTS} events of {LARGE_BYTES:,} bytes, and {LONG_EVENTS:,} small"
    " ones, at one go, both ways, and in the log",
    leaves="how many of them came, and the append of the first that is missing or changed",
    declaration=KEEPS,
)
async def paging_past_a_megabyte_is_complete(bench: Bench) -> None:
    """A read that is larger than any page of the store gives everything."""
    for batches in (large(bench), in_batches(bench, LONG_EVENTS, BATCH)):
        await came_whole(bench, await write(bench, bench.stream(), batches))
