"""Checks 48, 49 and 57. Durable: acknowledged events are there after a crash, once, for all."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from uuid import UUID

from harness.conformance.framework.check import CRASH_SAFE, GAP_FREE, RECENT_IDS, Isolation, check
from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import (
    Broken,
    NotReached,
    OutOfReach,
    Step,
    describe_versions,
)
from harness.conformance.framework.crashes import (
    IN_MEMORY,
    WRITERS,
    Writer,
    read_or_nothing,
    written_streams,
)
from harness.conformance.framework.history_oracle import require_history
from harness.conformance.framework.log_reading import TailingReader, require_log, tailing
from harness.conformance.framework.own_process import write_until_killed
from harness.conformance.framework.races import (
    Attempt,
    attempt,
    strictest_expectation,
)
from harness.conformance.framework.server_faults import network_to, why_no_network
from harness.conformance.framework.storms import by_connections, storm_of, streams_of
from harness.domain.durability import Durability
from harness.domain.errors import OutcomeUnknown, StoreError, UnsupportedByStore
from harness.domain.server import Server
from harness.domain.store import (
    Adapter,
    AppendResult,
    EventStore,
    NewEvent,
    Position,
    RecordedEvent,
    StreamState,
)
from harness.verification import Kind

KILLS = 2
LOAD_S = 0.5
PAUSE_S = 1.5
"""Longer than the deadline of the append under way."""
DEADLINE_S = 0.8
SETTLED_S = 0.3
"""After the deadline, for appends that are still being written."""
AGAIN_WITHIN_S = 20.0
ANSWERS_MAX = 8
"""More than any append here gets."""

CRASHES = 2
AFTER_A_CRASH = 120
"""Appends after a crash; positions that are handed out again are among the first of them."""
READ_MIN = 20
"""Events that a reader has read before a crash; fewer prove nothing."""
LIMIT_OF_A_STORM_S = 30.0
SHOWN = 3
ANY = StreamState.ANY
VIOLATIONS = (Kind.LOST, Kind.DUPLICATED, Kind.FOREIGN)

Lost = tuple[str, Sequence[NewEvent], AppendResult | StoreError]
"""A stream, the events appended to it, and the answer that the writer got."""
Lose = Callable[[CheckContext], Awaitable[Lost]]
"""Append in a way that loses the acknowledgement."""


@check(
    48,
    provokes=f"kills the server's processes right after an acknowledgement, while {WRITERS}"
    " writers append, starts it again, and reads every stream and the log; a store without a"
    " server is written by a process of its own, which is killed",
    leaves="the acknowledged events that are missing, by stream",
    declaration=CRASH_SAFE,
    isolation=Isolation.DESTRUCTIVE,
)
async def a_killed_server_keeps_what_it_acknowledged(context: CheckContext) -> None:
    """Kill -9 of the server under load loses no acknowledged append."""
    for _ in range(KILLS):
        with after_a_crash(context):
            attempts = await _killed(context)
            won = sum(made.won for made in attempts)
            context.count("acknowledged appends before a kill", won, least=KILLS)
            reader = await context.connect()
            for stream in written_streams(attempts):
                mine = [made for made in attempts if made.stream == stream]
                require_history(mine, await read_or_nothing(reader, stream), *VIOLATIONS)
            await _require_whole_log(context, reader, attempts)
        context.count("kills under load", least=KILLS)


@contextmanager
def after_a_crash(context: CheckContext) -> Iterator[None]:
    """Raises `OutOfReach` where nothing is left to read because all of it was in memory."""
    try:
        yield
    except StoreError as error:
        if context.guarantees.durability is Durability.MEMORY:
            raise OutOfReach(IN_MEMORY) from error
        raise


async def _killed(context: CheckContext) -> Sequence[Attempt]:
    """Every append before a kill: of the server, or of the store's own process without one."""
    if context.server is None and context.guarantees.durability is not Durability.MEMORY:
        return await write_until_killed(context)
    writers = await _killed_under_load(context, context.controllable_server())
    return [made for writer in writers for made in writer.attempts]


async def _killed_under_load(context: CheckContext, server: Server) -> Sequence[Writer]:
    """Raises `NotReached` if the kill interrupted no writer."""
    writers = [Writer(f"writer {number}", context.stream()) for number in range(WRITERS)]
    stores, killed = await context.writers(2), asyncio.Event()
    writing = [
        asyncio.create_task(writer.write(context, stores[number % len(stores)], killed))
        for number, writer in enumerate(writers)
    ]
    await writers[0].next_acknowledgement(context.profile.within_s)
    await asyncio.sleep(LOAD_S)
    await writers[0].next_acknowledgement(LOAD_S)
    killing_s = time.monotonic()
    await server.kill()
    killed.set()
    done, _ = await asyncio.wait(writing, timeout=AGAIN_WITHIN_S)
    for task in writing:
        task.cancel()
    await asyncio.gather(*writing, return_exceptions=True)
    await server.restart()
    if not any(made.won for writer in writers for made in writer.attempts):
        raise NotReached("nothing was acknowledged before the kill")
    last = [w.attempts[-1] for w, task in zip(writers, writing, strict=True) if task in done]
    _require_interrupted(last, killing_s)
    return writers


def _require_interrupted(last: Sequence[Attempt], killing_s: float) -> None:
    """Raises `NotReached` unless a writer's last append failed at the kill, and none succeeded."""
    if any(each.won for each in last):
        raise NotReached("the server acknowledged appends after the kill")
    if not any(each.ended_s > killing_s for each in last):
        raise NotReached("no writer was cut off by the kill")


@check(
    49,
    provokes="appends through a network that loses the answer, or to a server that is paused until"
    " the append's deadline has passed, or ignores the answer if there is no server; reads"
    " whether it was written; then sends it again",
    leaves="the results of the append and its retry, and the number of its events that are read",
    declaration=RECENT_IDS,
    isolation=Isolation.DESTRUCTIVE,
)
async def a_lost_acknowledgement_is_repaired_by_a_retry(context: CheckContext) -> None:
    """An append whose acknowledgement is lost is written once by a retry."""
    for lose in _losses(context):
        stream, batch, answer = await lose(context)
        there = len(await read_or_nothing(await context.connect(), stream))
        look = Step("a reader, before the retry", f"read {stream!r}", f"{there} events")
        if there and isinstance(answer, StoreError):
            context.count("appends that were written and not acknowledged", least=1)
            await _require_repaired(context, stream, batch, look)
            return
    raise NotReached("no append was written without an answer to its writer")


def _losses(context: CheckContext) -> Sequence[Lose]:
    if context.server is None:
        return [_ignoring_the_answer]
    through_a_network = [] if why_no_network(context) else [_through_a_network]
    if not through_a_network:
        context.controllable_server()
    return [*through_a_network, *([_during_a_pause] if context.server.controllable else [])]


async def _ignoring_the_answer(context: CheckContext) -> Lost:
    by = "the writer, who ignores the answer"
    stream, batch = context.stream(), context.events(2)
    await context.append(stream, batch, expected=strictest_expectation(context), by=by)
    return stream, batch, OutcomeUnknown("the answer was ignored")


async def _through_a_network(context: CheckContext) -> Lost:
    """Append through a network that loses the last answer.

    The number of answers of an append is unknown, so one less passes each time.
    """
    async with network_to(context) as network:
        hasty = await context.connect(address=network.endpoint.address, deadline_s=DEADLINE_S)
        await context.append(context.stream(), context.events(1), through=hasty)
        for answers in range(ANSWERS_MAX, -1, -1):
            await network.lose_answers(after=answers)
            lost = await _unanswered(context, hasty)
            if isinstance(lost[-1], StoreError):
                break
    await asyncio.sleep(SETTLED_S)
    return lost


async def _during_a_pause(context: CheckContext) -> Lost:
    """Append while the server is paused, so that it is written after it resumes."""
    server = context.controllable_server()
    hasty = await context.connect(deadline_s=DEADLINE_S)
    await context.append(context.stream(), context.events(1), through=hasty)
    await server.pause()
    try:
        lost = await _unanswered(context, hasty)
        await asyncio.sleep(PAUSE_S - DEADLINE_S)
    finally:
        await server.resume()
    await asyncio.sleep(PAUSE_S)
    return lost


async def _unanswered(context: CheckContext, hasty: EventStore) -> Lost:
    by, stream, batch = "the writer, unanswered", context.stream(), context.events(2)
    answer = await context.try_append(
        stream, batch, expected=strictest_expectation(context), through=hasty, by=by
    )
    return stream, batch, answer


async def _require_repaired(
    context: CheckContext, stream: str, batch: Sequence[NewEvent], look: Step
) -> None:
    """Raises `Broken` unless the retry is acknowledged and each event is there once."""
    store = await context.connect()
    answer = await context.attempt(
        stream,
        batch,
        expected=strictest_expectation(context),
        through=store,
        by="the same writer, again",
    )
    steps = [*context.steps[-2:-1], look, context.steps[-1]]
    if isinstance(answer, StoreError):
        raise Broken("the retry was refused", steps)
    found = [event.id for event in await read_or_nothing(store, stream)]
    if sorted(found) != sorted(event.id for event in batch):
        read = Step("a reader", f"read {stream!r}", f"{len(found)} events instead of {len(batch)}")
        raise Broken("a retry did not leave each event once", [*steps, read])


async def _require_whole_log(
    context: CheckContext, store: EventStore, attempts: Sequence[Attempt]
) -> None:
    """Raises `Broken` if the log differs from the streams; a store without a log passes."""
    with suppress(UnsupportedByStore):
        logged = await _read_log(context, store, attempts)
        try:
            require_history(attempts, logged, *VIOLATIONS)
        except Broken as broken:
            read = Step(
                "a reader",
                "read the log, not the streams",
                describe_versions(logged),
                context.at_ms(),
            )
            raise Broken(f"in the log, {broken.why}", [*broken.evidence, read]) from None


async def _read_log(
    context: CheckContext, store: EventStore, attempts: Sequence[Attempt]
) -> list[RecordedEvent]:
    """The log's events of these streams, once all acknowledged ones are there or time is up."""
    streams = {each.stream for each in attempts}
    wanted = {event.id for each in attempts if each.won for event in each.batch}
    until = time.monotonic() + context.profile.within_s
    while True:
        logged = [event async for event in store.read_all() if event.stream in streams]
        if wanted <= {event.id for event in logged} or time.monotonic() > until:
            return logged
        await asyncio.sleep(SETTLED_S)


@check(
    57,
    provokes="lets a reader that never sleeps follow a storm and save its position, kills the"
    " server's processes, starts it again, appends more, and resumes from that position",
    leaves="the checkpoint, and the appends whose events are there and were never read",
    declaration=GAP_FREE,
    isolation=Isolation.DESTRUCTIVE,
)
async def a_reader_that_resumes_after_a_crash_misses_nothing(context: CheckContext) -> None:
    """After a crash, a reader that resumes from its checkpoint gets every event that is there."""
    server = context.controllable_server()
    await require_log(context)
    for _ in range(CRASHES):
        with after_a_crash(context):
            read = await _read_until_a_crash(context, server)
            context.count("crashes under load", least=CRASHES)
            await _require_resumed_complete(context, read)


@dataclass(slots=True)
class ReadBeforeACrash:
    """What a storm wrote until a crash, and what a reader had read of it."""

    attempts: Sequence[Attempt]
    tail: TailingReader

    @property
    def streams(self) -> Sequence[str]:
        """All that were written."""
        return list(dict.fromkeys(made.stream for made in self.attempts))


async def _read_until_a_crash(context: CheckContext, server: Server) -> ReadBeforeACrash:
    storm = replace(
        storm_of(context), seconds=LIMIT_OF_A_STORM_S, appends_max=sys.maxsize, until_a_failure=True
    )
    streams = streams_of(context, storm)
    start = await context.append(context.stream(), context.events())
    async with tailing(context, streams, after=start.position) as tail:
        writing = asyncio.create_task(by_connections(context, storm))
        await asyncio.sleep(context.rng.uniform(LOAD_S, 2 * LOAD_S))
        await server.kill()
        attempts = await writing
    await server.restart()
    context.count("events read before a crash", len(tail.events), least=READ_MIN)
    return ReadBeforeACrash(attempts, tail)


async def _require_resumed_complete(context: CheckContext, before: ReadBeforeACrash) -> None:
    """Raises `Broken` unless everything that is there was read before the crash or is read now."""
    store, after = await context.connect(), before.tail.position
    context.store = store  # where only one may write, it is this one from now on
    new = await _append_after_the_crash(context, store)
    written = [*before.attempts, *new]
    there = set[UUID]()
    for stream in dict.fromkeys(made.stream for made in written):
        there |= {event.id for event in await read_or_nothing(store, stream)}
    had = {event.id for event in before.tail.events}
    context.count("events that were read and lost in a crash", len(had - there), least=0)
    won = sum(made.won for made in new)
    context.count("events appended after a crash", won, least=AFTER_A_CRASH)
    missing = await _missing_from(context, store, after, there - had)
    if missing:
        lost = [made for made in written if made.batch[0].id in missing][:SHOWN]
        checkpoint = Step("the reader", "had saved its position before the crash", str(after))
        raise Broken(
            f"{len(missing)} of {len(there - had)} events that are there are never read",
            [checkpoint, *(made.step(written) for made in lost)],
        )


async def _append_after_the_crash(context: CheckContext, store: Adapter) -> list[Attempt]:
    """One event after another, so that each takes a position of its own."""
    stream = context.stream()
    return [
        await attempt("the writer, after the crash", store, stream, context.events(), ANY)
        for _ in range(AFTER_A_CRASH)
    ]


async def _missing_from(
    context: CheckContext, store: Adapter, after: Position | None, wanted: set[UUID]
) -> set[UUID]:
    """Those of `wanted` that reading on after a position does not give in time."""
    until = time.monotonic() + context.profile.within_s
    while True:
        missing = wanted - {event.id async for event in store.read_all(after=after)}
        if not missing or time.monotonic() > until:
            return missing
        await asyncio.sleep(SETTLED_S)
