"""Durable: what was acknowledged is there after a crash, once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from harness.conformance.bench import Bench, Controlled
from harness.conformance.check import Broken, Company, Declaration, NotReached, Step, check
from harness.conformance.declared import RECENT_IDS
from harness.conformance.following import listed
from harness.conformance.judged import judge
from harness.conformance.racing import Attempt, attempt, strictest, unanswered
from harness.conformance.wire import Wire
from harness.errors import OutcomeUnknown, StoreError, StreamNotFound, UnsupportedByStore
from harness.history import Kind
from harness.store import AppendResult, Durability, EventStore, NewEvent, RecordedEvent, StreamState

WRITERS = 8
KILLS = 2
LOAD_S = 0.5
PAUSE_S = 1.5
"""Longer than the deadline of the append that is under way."""
DEADLINE_S = 0.8
SETTLED_S = 0.3
"""Behind the deadline, for what is still on its way to be written."""
AGAIN_WITHIN_S = 20.0
ANSWERS_MAX = 8
"""More than any append here needs."""

GONE_WRONG = (Kind.LOST, Kind.DUPLICATED, Kind.FOREIGN)

Lost = tuple[str, Sequence[NewEvent], AppendResult | StoreError]
"""A stream, what was appended to it, and how that ended for the writer."""
Lose = Callable[[Bench], Awaitable[Lost]]
"""Append so that the writer is not told of it."""

CRASH_SAFE = Declaration(
    "durability",
    lambda g: g.durability in (Durability.PROCESS_CRASH, Durability.POWER_LOSS),
)


@dataclass(slots=True)
class Writer:
    """One writer's stream and what it was told of it."""

    name: str
    stream: str
    attempts: list[Attempt] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def hears(self, within_s: float) -> None:
        """Wait for an acknowledgement from now on, for so long at most."""
        self.heard.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.heard.wait(), within_s)

    async def write(self, bench: Bench, store: EventStore, killed: asyncio.Event) -> None:
        """Append one event after another until the server has gone, or should have."""
        began_behind_the_kill = False
        while not began_behind_the_kill:
            batch, began_behind_the_kill = bench.events(1), killed.is_set()
            try:
                made = await attempt(self.name, store, self.stream, batch, StreamState.ANY)
            except asyncio.CancelledError:
                self.attempts.append(unanswered(self.name, self.stream, batch))
                return
            self.attempts.append(made)
            if not made.won:
                return
            self.heard.set()


@check(
    48,
    provokes=f"{WRITERS} writers append, the server's processes are killed right behind an "
    "acknowledgement, which cuts the writers off, it starts again, and every stream is read, and"
    " the log",
    leaves="the acknowledged events that are gone, by stream",
    declaration=CRASH_SAFE,
    company=Company.LAST,
)
async def a_killed_server_keeps_what_it_acknowledged(bench: Bench) -> None:
    """Kill -9 of the server under load keeps every acknowledged append."""
    server = bench.hurtable()
    for _ in range(KILLS):
        writers = await _killed_under_load(bench, server)
        reader = await bench.another()
        for writer in writers:
            recorded = await _read(reader, writer.stream)
            judge(writer.attempts, recorded, *GONE_WRONG)
        attempts = [made for writer in writers for made in writer.attempts]
        await _log_is_whole(bench, reader, attempts)


async def _killed_under_load(bench: Bench, server: Controlled) -> Sequence[Writer]:
    """Raises `NotReached` where the kill cut nobody off."""
    writers = [Writer(f"writer {number}", bench.stream()) for number in range(WRITERS)]
    stores, killed = await bench.writers(2), asyncio.Event()
    writing = [
        asyncio.create_task(writer.write(bench, stores[number % len(stores)], killed))
        for number, writer in enumerate(writers)
    ]
    await writers[0].hears(bench.profile.within_s)
    await asyncio.sleep(LOAD_S)
    await writers[0].hears(LOAD_S)
    killing_s = time.monotonic()
    await server.kill()
    killed.set()
    ended, _ = await asyncio.wait(writing, timeout=AGAIN_WITHIN_S)
    for task in writing:
        task.cancel()
    await asyncio.gather(*writing, return_exceptions=True)
    await server.restart()
    if not any(made.won for writer in writers for made in writer.attempts):
        raise NotReached("nothing was acknowledged before the kill")
    last = [w.attempts[-1] for w, task in zip(writers, writing, strict=True) if task in ended]
    _cut_off(last, killing_s)
    return writers


def _cut_off(last: Sequence[Attempt], killing_s: float) -> None:
    """Raises `NotReached` unless a writer's last append failed at the kill, and none was won."""
    if any(each.won for each in last):
        raise NotReached("the server went on acknowledging behind the kill")
    if not any(each.ended_s > killing_s for each in last):
        raise NotReached("no writer was cut off by the kill")


@check(
    49,
    provokes="appends over a wire that swallows the answer, or to a server that stands still until"
    " the append's deadline has passed; looks whether it was written; then sends it again; without"
    " a server the answer is thrown away",
    leaves="how the append and its retry ended, and how often the event is there",
    declaration=RECENT_IDS,
    company=Company.LAST,
)
async def a_lost_acknowledgement_is_repaired_by_a_retry(bench: Bench) -> None:
    """An append whose acknowledgement was lost is written once by a retry."""
    for lose in _ways_to_lose(bench):
        stream, batch, ended = await lose(bench)
        there = len(await _read(await bench.another(), stream))
        look = Step("a reader, before the retry", f"read {stream!r}", f"{there} events")
        if there and isinstance(ended, StoreError):
            await _repaired(bench, stream, batch, look)
            return
    raise NotReached("no append was written without its writer hearing of it")


def _ways_to_lose(bench: Bench) -> Sequence[Lose]:
    if bench.server is None:
        return [_unheard]
    over_a_wire = [_over_a_wire] if Wire.fits(bench.reach.endpoint.address) else []
    if not over_a_wire:
        bench.hurtable()
    return [*over_a_wire, *([_by_a_pause] if bench.server.controllable else [])]


async def _unheard(bench: Bench) -> Lost:
    by = "the writer, who does not listen"
    stream, batch = bench.stream(), bench.events(2)
    await bench.append(stream, batch, expected=strictest(bench), by=by)
    return stream, batch, OutcomeUnknown("not listened to")


async def _over_a_wire(bench: Bench) -> Lost:
    """Append over a wire on which the last answer does not come back.

    How many answers an append takes is found by letting ever fewer of them through.
    """
    async with Wire(bench.reach.endpoint.address) as wire:
        hasty = await bench.another(address=wire.address, deadline_s=DEADLINE_S)
        await bench.append(bench.stream(), bench.events(1), through=hasty)
        for answers in range(ANSWERS_MAX, -1, -1):
            wire.swallow(after=answers)
            lost = await _unanswered(bench, hasty)
            if isinstance(lost[-1], StoreError):
                break
    await asyncio.sleep(SETTLED_S)
    return lost


async def _by_a_pause(bench: Bench) -> Lost:
    """Append while the server stands still, so that it is written when it goes on."""
    server = bench.hurtable()
    hasty = await bench.another(deadline_s=DEADLINE_S)
    await bench.append(bench.stream(), bench.events(1), through=hasty)
    await server.pause()
    try:
        lost = await _unanswered(bench, hasty)
        await asyncio.sleep(PAUSE_S - DEADLINE_S)
    finally:
        await server.resume()
    await asyncio.sleep(PAUSE_S)
    return lost


async def _unanswered(bench: Bench, hasty: EventStore) -> Lost:
    by, stream, batch = "the writer, unanswered", bench.stream(), bench.events(2)
    ended = await bench.attempt(stream, batch, expected=strictest(bench), through=hasty, by=by)
    return stream, batch, ended


async def _repaired(bench: Bench, stream: str, batch: Sequence[NewEvent], look: Step) -> None:
    """The retry is acknowledged, and leaves each event once."""
    store = await bench.another()
    ended = await bench.attempt(
        stream, batch, expected=strictest(bench), through=store, by="the same writer, again"
    )
    story = [*bench.steps[-2:-1], look, bench.steps[-1]]
    if isinstance(ended, StoreError):
        raise Broken("the retry was refused", story)
    found = [event.id for event in await _read(store, stream)]
    if sorted(found) != sorted(event.id for event in batch):
        read = Step("a reader", f"read {stream!r}", f"{len(found)} events instead of {len(batch)}")
        raise Broken("a retry did not leave each event once", [*story, read])


async def _read(store: EventStore, stream: str) -> list[RecordedEvent]:
    try:
        return [event async for event in store.read_stream(stream)]
    except StreamNotFound:
        return []


async def _log_is_whole(bench: Bench, store: EventStore, attempts: Sequence[Attempt]) -> None:
    """Raises `Broken` if it has not what the streams have; a store without one is let be."""
    with suppress(UnsupportedByStore):
        logged = await _read_log(bench, store, attempts)
        try:
            judge(attempts, logged, *GONE_WRONG)
        except Broken as broken:
            read = Step("a reader", "read the log, not the streams", listed(logged), bench.at_ms())
            raise Broken(f"in the log, {broken.why}", [*broken.evidence, read]) from None


async def _read_log(
    bench: Bench, store: EventStore, attempts: Sequence[Attempt]
) -> list[RecordedEvent]:
    """What it holds of their streams, once that is everything acknowledged, or time is up."""
    streams = {each.stream for each in attempts}
    wanted = {event.id for each in attempts if each.won for event in each.batch}
    until = time.monotonic() + bench.profile.within_s
    while True:
        logged = [event async for event in store.read_all() if event.stream in streams]
        if wanted <= {event.id for event in logged} or time.monotonic() > until:
            return logged
        await asyncio.sleep(SETTLED_S)
