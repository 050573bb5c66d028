"""Checks 7–15. Ordered: within a stream, and in the log of all streams."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from uuid import UUID

from harness.conformance.framework.check import (
    GAP_FREE,
    IN_ORDER,
    KEEPS,
    KEEPS_WHOLE,
    READS_WHOLE,
    Isolation,
    check,
)
from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import (
    Broken,
    OutOfReach,
    Step,
    describe_versions,
)
from harness.conformance.framework.history_oracle import require_history
from harness.conformance.framework.log_reading import (
    GRACE_S,
    TailingReader,
    require_log,
    require_storms_in_order,
    tail_beside_a_foreign_storm,
    tail_during_a_foreign_transaction,
    tail_storms,
    tailing,
)
from harness.conformance.framework.open_transactions import meanwhile, open_transaction
from harness.conformance.framework.paging import (
    BATCH,
    LARGE_STREAM_BYTES,
    LENGTHS,
    LONG_ENOUGH,
    LONG_EVENTS,
    MEGABYTE,
    PAGES,
    TOTALS,
    crossing_batches,
    large_batches,
    require_batch_order,
    require_complete_pages,
    require_complete_reads,
    require_exact_reads,
    small_batches,
    write_batches,
)
from harness.conformance.framework.races import (
    CONNECTIONS,
    Attempt,
    append_in_process,
    count_overlaps,
    count_overlaps_between,
    overlaps,
    race,
    racer,
    release_together,
)
from harness.conformance.framework.storms import by_connections
from harness.conformance.framework.watching import watched
from harness.domain.errors import NotWritten
from harness.domain.store import AppendResult, RecordedEvent, StreamState
from harness.verification import Kind

ANY = StreamState.ANY
RACED_SIZES = ((1, 1), (2, 7), (8, 40))
"""Bounds of the sizes of batches that race for versions."""
ORDERED_RACES, ORDERED_SIZES = 6, (20, 40)
"""Races of batches that have to keep their order, and bounds of the sizes of these."""
LARGE_BATCHES_MIN = 2
"""Acknowledged batches that are larger than the smallest of `TOTALS`."""
READ_DURING_MIN = 5
"""Reads while a batch is being written; fewer prove nothing."""
TRANSACTION_ROUNDS = 3
DEADLINE_S, HELD_S = 0.8, 1.2
"""A foreign transaction stays open for longer than the deadline of readers and writers."""


@check(
    7,
    provokes="appends one event, a few, and up to 40 at a time over several connections to one"
    " stream",
    leaves="the versions as read, or the append whose answer differs from its event's place",
    declaration=KEEPS,
)
async def versions_are_contiguous_from_zero(context: CheckContext) -> None:
    """Versions of a stream count from 0 without gaps, and appends return them."""
    stream, stores = context.stream(), await context.writers(CONNECTIONS)
    attempts: list[Attempt] = []
    for bounds in RACED_SIZES:
        size = min(context.rng.randint(*bounds), context.guarantees.batch_limit or bounds[1])
        attempts += await race(context, stores, stream, ANY, size=size)
    recorded = await context.read(stream)
    require_history(attempts, recorded, Kind.NOT_CONTIGUOUS, Kind.LOST, Kind.MISPLACED)
    require_history(attempts, recorded, Kind.WRITTEN_THOUGH_REFUSED)
    _require_positions(attempts, recorded)
    count_overlaps(context, overlaps([attempts]))


def _require_positions(attempts: Sequence[Attempt], recorded: Sequence[RecordedEvent]) -> None:
    """Raises `Broken` unless an answer's position, if any, is that of its last event."""
    positions = {event.id: event.position for event in recorded}
    for each in attempts:
        answered = each.answer.position if isinstance(each.answer, AppendResult) else None
        read = positions[each.batch[-1].id] if answered is not None else None
        if answered != read:
            steps = [Step("the answer", "has", f"position {answered}"),
                     Step("a reader", f"read {each.stream!r}", f"position {read}")]  # fmt: skip
            raise Broken("an answer has another position", [each.step(attempts), *steps])


@check(
    8,
    provokes="appends batches of 20 to 40 events, and batches of more than 64 KiB, 256 KiB and 1"
    " MiB in total, over several connections to one stream, while a watcher reads stream and log"
    " without a pause",
    leaves="the batch, and those of its events that are read in another order, apart, or before"
    " the others",
    declaration=KEEPS,
)
async def the_order_of_a_batch_is_kept(context: CheckContext) -> None:
    """The events of an append keep their order in stream and log, without gaps if it is atomic."""
    stream, start, promised = context.stream(), await context.head(), context.guarantees
    await context.append(stream, context.events())
    attempts: list[Attempt] = []
    if promised.atomic_append:
        async with watched(context, [stream], after=start, log=promised.gap_free_read) as watcher:
            await _race_batches(context, stream, attempts)
        watcher.require_whole_batches(attempts)
        during = watcher.reads_during(attempts)
        context.count("reads that came by during an append", during, least=READ_DURING_MIN)
    else:
        await _race_batches(context, stream, attempts)
    require_batch_order(context, attempts, await context.read(stream), "the stream")
    if promised.global_order != "none":
        log = await context.log([stream], after=start)
        require_batch_order(context, attempts, log, "the log")


async def _race_batches(context: CheckContext, stream: str, attempts: list[Attempt]) -> None:
    """Append batches of many events, then large ones, over several connections at once."""
    stores, most = await context.writers(CONNECTIONS), context.guarantees.batch_limit
    for _ in range(ORDERED_RACES):
        size = context.rng.randint(*ORDERED_SIZES)
        attempts += await race(context, stores, stream, ANY, size=min(size, most or size))
    least = 0
    for total, count in TOTALS:
        batches = crossing_batches(context, total, count)
        least = LARGE_BATCHES_MIN if batches else least
        attempts += await release_together(
            [
                racer(f"a racer with {total:,} bytes", stores[n % len(stores)], stream, batch, ANY)
                for n, batch in enumerate(batches)
            ]
        )
    large = [each for each in attempts if each.won and _bytes_of(each) > TOTALS[0][0]]
    count_overlaps(context, overlaps([attempts]))
    context.count(f"batches of more than {TOTALS[0][0]:,} bytes", len(large), least=least)


def _bytes_of(attempt: Attempt) -> int:
    return sum(len(event.data) for event in attempt.batch)


@check(
    9,
    provokes="keeps an append's transaction open while a later one commits and a reader passes it,"
    " where clients can; then writes slow and fast appends to many streams, over several"
    " connections and from several processes, while a reader that never sleeps tails the log",
    leaves="the appends in their order, and what the reader read",
    declaration=GAP_FREE,
    isolation=Isolation.EXCLUSIVE,
)
async def a_tailing_reader_misses_nothing(context: CheckContext) -> None:
    """A reader that follows the global log gets every committed event, once."""
    await require_log(context)
    if context.holds_transactions:
        for _ in range(TRANSACTION_ROUNDS):
            if not await _require_late_commit_read(context):
                break
    await tail_storms(context)


async def _require_late_commit_read(context: CheckContext) -> bool:
    """Whether an append went past the open transaction. If none can, one try shows all of it."""
    late, early, end = (context.stream() for _ in range(3))
    start = await context.append(context.stream(), context.events())
    batches = [context.events(), context.events(), context.events()]
    ids = [batch[0].id for batch in batches]
    async with (
        tailing(context, [late, early, end], after=start.position) as tail,
        open_transaction(context) as tx,
    ):
        await tx.append(late, batches[0], by="the late writer")
        appending = meanwhile(context.append(early, batches[1], by="the early writer"))
        seen = await tail.sees([ids[1]], within_s=GRACE_S)
        _note_whether_seen(context, "the early event", seen=seen)
        went_past = appending.done()
        await tx.commit(by="the late writer")
        await appending
        await context.append(end, batches[2], by="the early writer")
        await _require_all_read(tail, ids, context)
    return went_past


def _note_whether_seen(context: CheckContext, what: str, *, seen: bool) -> None:
    """Whether the reader passed the open transaction, as a line of evidence."""
    result = "had read it" if seen else f"had not read it within {GRACE_S:g} s"
    step = Step(
        "the tailing reader", f"looked for {what} before the commit", result, context.at_ms()
    )
    context.steps.append(step)


async def _require_all_read(
    tail: TailingReader, ids: Sequence[UUID], context: CheckContext
) -> None:
    """Raises `Broken` unless the others are read before the last of `ids`, or shortly after."""
    await tail.must_see([ids[-1]], context.steps[-6:])
    if not await tail.sees(ids, within_s=2 * GRACE_S):
        raise Broken(
            "the reader passed over an event that committed late",
            [*context.steps[-6:], tail.step()],
        )


@check(
    10,
    provokes="writes slow and fast appends to many streams, two of them shared by all writers, over"
    " several connections and from several processes, then reads the whole log",
    leaves="the two events of a stream in the wrong order, their appends and where they are read;"
    " or the event that has another version in the log",
    declaration=IN_ORDER,
    isolation=Isolation.EXCLUSIVE,
)
async def the_log_respects_the_order_of_streams(context: CheckContext) -> None:
    """The log has each stream's events in order, at the versions that appends returned."""
    await require_log(context)
    await require_storms_in_order(context)


@check(
    11,
    provokes="appends in a transaction that has its number before it appends, after a later"
    " transaction has appended, where clients can; then slow and fast appends of many writers to"
    " the same streams",
    leaves="the appends, and their order in the log",
    declaration=IN_ORDER,
    isolation=Isolation.EXCLUSIVE,
)
async def no_inversion_when_a_transaction_starts_early(context: CheckContext) -> None:
    """A writer whose transaction began early does not invert its stream in the log."""
    await require_log(context)
    if context.holds_transactions:
        for _ in range(TRANSACTION_ROUNDS):
            await _start_early(context)
    await require_storms_in_order(context, writes=[by_connections])
    if context.holds_transactions and context.multi_process:
        await _start_early_among_processes(context)


async def _start_early(context: CheckContext) -> None:
    stream = context.stream()
    async with open_transaction(context, early=True) as tx:
        await context.append(stream, context.events(), by="the late starter")
        context.count("transactions that began before another's append", least=1)
        try:
            await tx.append(stream, context.events(), by="the early starter")
            await tx.commit(by="the early starter")
        except NotWritten:
            return
    await _require_not_inverted(context, stream, 2, context.steps[-3:])


async def _start_early_among_processes(context: CheckContext) -> None:
    stream = context.stream()
    async with open_transaction(context, early=True) as tx:
        by_process = await context.in_processes(append_in_process, stream)
        with suppress(NotWritten):
            await tx.append(stream, context.events(), by="the early starter")
            await tx.commit(by="the early starter")
    attempts = list(chain.from_iterable(by_process))
    late = [each.step(attempts) for each in attempts[-1:]]
    won = sum(each.won for each in attempts)
    await _require_not_inverted(context, stream, won, [*late, *context.steps[-2:]])
    count_overlaps_between(context, by_process)


async def _require_not_inverted(
    context: CheckContext, stream: str, least: int, steps: Sequence[Step]
) -> None:
    log = await context.log([stream])
    versions = [event.version for event in log]
    if len(versions) < least or versions != list(range(len(versions))):
        read = Step("a reader", "read the log", describe_versions(log), context.at_ms())
        raise Broken("the log inverts a stream", [*steps, read])


@check(
    12,
    provokes="keeps a transaction open that does not touch the log, for longer than a deadline, or"
    " where clients cannot, writes slow appends to another namespace; writes meanwhile over"
    " connections and from several processes, and reads on after it ended",
    leaves="the appends during the transaction, and what the reader read",
    declaration=GAP_FREE,
    isolation=Isolation.EXCLUSIVE,
)
async def a_foreign_open_transaction_delays_and_never_loses(context: CheckContext) -> None:
    """A foreign open transaction may delay readers of the log, and they still get every event."""
    await require_log(context)
    if not context.holds_transactions:
        await tail_beside_a_foreign_storm(context)
        return
    hasty = await context.with_options(deadline_s=DEADLINE_S)
    await _require_read_after_a_foreign_transaction(hasty)
    await tail_during_a_foreign_transaction(hasty, HELD_S)


async def _require_read_after_a_foreign_transaction(context: CheckContext) -> None:
    start = await context.append(context.stream(), context.events())
    streams, batches = [context.stream(), context.stream()], [context.events(3), context.events(3)]
    async with (
        tailing(context, streams, after=start.position) as tail,
        open_transaction(context, early=True) as tx,
    ):
        appending = meanwhile(context.append(streams[0], batches[0], by="the writer"))
        written = [batches[0][-1].id]
        seen = await tail.sees(written, within_s=GRACE_S)
        _note_whether_seen(context, "what was written", seen=seen)
        await tx.commit(by="the stranger")
        await appending
        await context.append(streams[1], batches[1], by="the writer")
        await tail.must_see([event.id for batch in batches for event in batch], context.steps[-5:])


@check(
    13,
    provokes="rolls back an append that already had its place in the log, between two that are"
    " kept, where clients can; then has appends refused among many that are kept",
    leaves="the appends after the rollback, and the events read from the log or the stream",
    declaration=GAP_FREE,
    isolation=Isolation.EXCLUSIVE,
)
async def a_rolled_back_append_leaves_no_stall(context: CheckContext) -> None:
    """The log continues after an append that was rolled back, whose events are never read."""
    await require_log(context)
    if context.holds_transactions:
        await _roll_back_between_two(context)
    elif context.guarantees.occ == "none":
        raise OutOfReach("clients hold no transactions open, and the store refuses no append")
    if context.guarantees.occ != "none":
        await tail_storms(context, refused=True, writes=[by_connections])


async def _roll_back_between_two(context: CheckContext) -> None:
    start = await context.append(context.stream(), context.events())
    stream, kept, undone = (
        context.stream(),
        [context.events(2), context.events(2)],
        context.events(2),
    )
    async with (
        tailing(context, [stream], after=start.position) as tail,
        open_transaction(context) as tx,
    ):
        await tx.append(stream, undone, by="who rolls back")
        appending = meanwhile(context.append(stream, kept[0], by="the writer"))
        await asyncio.sleep(GRACE_S / 5)
        await tx.roll_back(by="who rolls back")
        context.count("appends rolled back", least=1)
        await appending
        await context.append(stream, kept[1], by="the writer")
        await tail.must_see([event.id for batch in kept for event in batch], context.steps[-4:])
        read = Step(
            "a reader", f"read {stream!r}", describe_versions(found := await context.read(stream))
        )
        ghosts = {event.id for event in undone} & {event.id for event in (*tail.events, *found)}
        if ghosts:
            raise Broken("what was rolled back was read", [*context.steps[-4:], tail.step(), read])


@check(
    14,
    provokes="reads streams of a few and of over 100, 256 and 1,024 events from drawn starts, with"
    " drawn limits, in both directions, and the log in pages of three sizes and with a limit of 0",
    leaves="the append of the first event that differs, the request, and what was read",
    declaration=READS_WHOLE,
)
async def limits_and_backward_reads_are_exact(context: CheckContext) -> None:
    """A read gives exactly the requested events: from a start, up to a limit, either way."""
    for bounds, pages in zip(LENGTHS, PAGES, strict=True):
        start, length = await context.head(), context.rng.randint(*bounds)
        batches = small_batches(context, length, context.rng.randint(3, BATCH))
        written = await write_batches(context, context.stream(), batches)
        if context.guarantees.global_order != "none":
            await require_complete_pages(context, written, start, context.rng.randint(*pages))
        await require_exact_reads(context, written)


@check(
    15,
    provokes=f"reads more than {LARGE_STREAM_BYTES // MEGABYTE} MiB of large events, and more than"
    f" {LONG_ENOUGH[0] - 1:,} small ones (in the full profile {LONG_EVENTS[0] - 1:,}), in one read,"
    " in both directions, and from the log",
    leaves="the number of events read, and the append of the first that is missing or changed",
    declaration=KEEPS_WHOLE,
)
async def paging_past_a_megabyte_is_complete(context: CheckContext) -> None:
    """A read that is larger than any page of the store is complete."""
    long = context.rng.randint(*(LONG_EVENTS if context.profile.thorough else LONG_ENOUGH))
    for batches in (large_batches(context), small_batches(context, long, BATCH)):
        start, stream = await context.head(), context.stream()
        await require_complete_reads(context, await write_batches(context, stream, batches), start)
