"""Checks 51, 52, 53 and 56. Trouble: power is lost, everything is killed, a disk is full."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from harness.conformance.framework.check import CRASH_SAFE, POWER_SAFE, Isolation, check
from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import (
    Broken,
    NotReached,
    OutOfReach,
    Step,
    describe_error,
)
from harness.conformance.framework.crashes import (
    CutOff,
    cut_off,
    on_lab_disk,
    read_or_nothing,
    server_again,
    streams_of,
)
from harness.conformance.framework.history_oracle import require_history
from harness.conformance.framework.own_process import kill_while_it_opens, write_until
from harness.conformance.framework.races import Attempt, attempt
from harness.domain.durability import Durability, PowerLosses
from harness.domain.errors import NoServer, StoreError
from harness.domain.faults import FaultKind
from harness.domain.server import Server, UsedByProcesses
from harness.domain.store import Adapter, NewEvent, RecordedEvent, StreamState
from harness.verification import Kind

ANY = StreamState.ANY
WHOLE = (Kind.LOST, Kind.DUPLICATED, Kind.FOREIGN, Kind.TORN, Kind.WRITTEN_THOUGH_REFUSED)
INTRUDERS = (Kind.DUPLICATED, Kind.FOREIGN, Kind.WRITTEN_THOUGH_REFUSED)
SHOWN = 3
IN_MEMORY = "keeps everything in memory, which a crash empties"

LOSSES, LOSSES_THOROUGH = 5, 20
TRIES = 2
"""For each power loss: one that met nobody in the middle of an append says nothing."""
LOAD_MAX_S = 1.0
FRESH_S = 0.5
"""An append that was acknowledged so shortly before is what a store without syncs loses."""


@dataclass(slots=True)
class Survival:
    """What was acknowledged before each crash, and what of it is gone."""

    crashes: list[CutOff] = field(default_factory=list)
    gone: dict[int, float] = field(default_factory=dict)
    """Ages at the crash, by the identity of the attempt: nothing is counted twice."""
    shown: list[Step] = field(default_factory=list)
    acknowledged: int = 0

    @property
    def attempts(self) -> list[Attempt]:
        """All of them."""
        return [made for crash in self.crashes for made in crash.attempts]

    @property
    def telling(self) -> int:
        """How many of the crashes say something."""
        return sum(crash.telling for crash in self.crashes)

    def measured(self, *, no_start: str = "") -> PowerLosses:
        """The result so far."""
        oldest_s = max(self.gone.values(), default=0.0)
        return PowerLosses(len(self.crashes), self.acknowledged, len(self.gone), oldest_s, no_start)

    def add(self, crash: CutOff) -> None:
        """One more crash."""
        self.crashes.append(crash)
        self.acknowledged += sum(made.won for made in crash.attempts)

    async def look(self, store: Adapter) -> None:
        """Read everything that was ever acknowledged. Raises `Broken` for what nobody sent."""
        at_s = self.crashes[-1].at_s
        for stream in streams_of(self.attempts):
            mine = [made for made in self.attempts if made.stream == stream]
            found = await read_or_nothing(store, stream)
            require_history(mine, found, *INTRUDERS)
            there = {event.id for event in found}
            for made in mine:
                if made.won and id(made) not in self.gone and not _is_whole(made, there):
                    self.gone[id(made)] = max(0.0, at_s - made.ended_s)
                    self._show(made, mine, found)

    def _show(self, made: Attempt, race: Sequence[Attempt], found: Sequence[RecordedEvent]) -> None:
        if len(self.shown) < SHOWN:
            read = Step("a reader, afterwards", f"read {made.stream!r}", f"{len(found)} events")
            self.shown += [made.step(race), read]


def _is_whole(made: Attempt, there: Collection[UUID]) -> bool:
    return all(event.id in there for event in made.batch)


@check(
    51,
    provokes=f"lets the power of the server's disk fail under load, at seeded moments, at least"
    f" {LOSSES} times: ext4 shuts down without flushing, every process is killed, the disk is"
    " mounted again; a store without a server is written by a process of its own",
    leaves="how many acknowledged appends are gone, how old the oldest of them was, and the first",
    declaration=POWER_SAFE,
    isolation=Isolation.DESTRUCTIVE,
    hurts_the_disk=True,
)
async def a_power_loss_takes_nothing_that_was_acknowledged(context: CheckContext) -> None:
    """Every acknowledged append is there after a power loss."""
    async with on_lab_disk(context, FaultKind.LOSE_POWER) as there:
        server, survival = _started(there), Survival()
        wanted = LOSSES_THOROUGH if context.profile.thorough else LOSSES
        for _ in range(wanted * TRIES):
            survival.add(await _without_power(there, server))
            try:
                await server_again_of(there, server)
            except NoServer as error:
                measured = survival.measured(no_start=str(error))
                context.power_losses.append(measured)
                step = Step("the lab", "started the server again", str(error))
                raise Broken("does not start again after a power loss", [step]) from None
            await _look(there, survival)
            context.power_losses.append(survival.measured())
            if survival.telling >= wanted:
                break
    _count_power_losses(context, survival)
    if survival.gone:
        raise Broken(str(survival.measured()), survival.shown)


def _count_power_losses(context: CheckContext, survival: Survival) -> None:
    fresh = sum(
        any(made.won and crash.at_s - made.ended_s < FRESH_S for made in crash.attempts)
        for crash in survival.crashes
    )
    context.count("acknowledged appends before a power loss", survival.acknowledged, least=LOSSES)
    what = f"power losses within {FRESH_S:g} s of an acknowledgement"
    context.count(what, fresh, least=LOSSES)
    what = "power losses that cut a writer off"
    context.count(what, survival.telling, least=LOSSES)
    context.count("acknowledged appends that are gone", len(survival.gone), least=0)


async def _without_power(context: CheckContext, server: Server) -> CutOff:
    after_s = context.rng.uniform(0.0, _load_s(context))
    if not isinstance(server, UsedByProcesses):
        return await cut_off(context, server.lose_power, after_s=after_s)

    async def lose_power(pid: int) -> None:
        server.used_by(pid)
        await server.lose_power()

    written = await write_until(context, lose_power, after_s=after_s)
    return CutOff(written.attempts, written.at_s)


async def server_again_of(context: CheckContext, server: Server) -> None:
    """As `server_again`; a library starts with whoever opens it."""
    if not isinstance(server, UsedByProcesses):
        await server_again(context, server)


async def _look(context: CheckContext, survival: Survival) -> None:
    """Over a connection that is closed again: it may hold files open."""
    try:
        async with context.factory.opened() as reader:
            await survival.look(reader)
    except StoreError as error:
        if context.guarantees.durability is Durability.MEMORY:
            raise OutOfReach(IN_MEMORY) from error
        raise


def _load_s(context: CheckContext) -> float:
    """How long a load lasts at most before it is cut off."""
    return min(LOAD_MAX_S, context.profile.seconds)


def _started(context: CheckContext) -> Server:
    assert context.server is not None, "there is a server wherever there is a disk"
    return context.server


def _require_kept(context: CheckContext) -> None:
    """Raises `OutOfReach` where no kill could leave anything to judge."""
    if context.guarantees.durability is Durability.MEMORY:
        raise OutOfReach(IN_MEMORY)


KILLS, KILLS_THOROUGH = 2, 10
SOON = 5
"""A server that has just started is killed after so many acknowledgements, or fewer."""


@check(
    52,
    provokes="kills every process of the store at once and closes every connection, at seeded"
    " moments under load, and again as soon as the server that starts has acknowledged something;"
    " reads everything, appends more, and reads it again",
    leaves="the acknowledged events that are missing, and what came or went after it was read",
    declaration=CRASH_SAFE,
    isolation=Isolation.DESTRUCTIVE,
)
async def all_processes_killed_at_once_leave_one_history(context: CheckContext) -> None:
    """A kill of every process, and of one that has just started, leaves one history for good."""
    _require_kept(context)
    attempts: list[Attempt] = []
    for _ in range(KILLS_THOROUGH if context.profile.thorough else KILLS):
        for crash in await _killed_twice(context):
            attempts += crash.attempts
        attempts += await _require_one_history(context, attempts)
    won = sum(made.won for made in attempts)
    context.count("acknowledged appends before a kill", won, least=KILLS)
    unknown = sum(made.unknown for made in attempts)
    context.count("appends of unknown outcome that a reader resolved", unknown, least=1)


async def _killed_twice(context: CheckContext) -> Sequence[CutOff]:
    """Under load, and again in the first moments of what starts then."""
    moments = (context.rng.uniform(0.0, _load_s(context)), 0.0)
    if context.server is None:
        crashes = []
        for after_s in moments:
            written = await write_until(context, _nothing_else, after_s=after_s)
            crashes.append(CutOff(written.attempts, written.at_s))
            context.count("kills of every process", least=2 * KILLS)
        return crashes
    server, crashes = context.controllable_server(), []
    for after_s, few in zip(moments, (1, context.rng.randint(1, SOON)), strict=True):
        crash = await cut_off(context, server.kill, after_s=after_s, acknowledgements=few)
        context.count("kills of every process", least=2 * KILLS)
        crashes.append(crash)
        await _again_after_a_kill(context, server)
        crash.require_telling()
    return crashes


async def _nothing_else(_: int) -> None:
    """The process is killed after this."""


async def _again_after_a_kill(context: CheckContext, server: Server) -> None:
    """Raises `Broken` where it does not start."""
    try:
        await server_again(context, server)
    except NoServer as error:
        step = Step("the lab", "started the server again", str(error))
        raise Broken("does not start again after a kill", [step]) from None


async def _require_one_history(context: CheckContext, attempts: Sequence[Attempt]) -> list[Attempt]:
    """Raises `Broken` unless what is read now is all that is ever read of these appends.

    Returns one more append to each stream.
    """
    first = await _read_whole(context, attempts)
    return await _require_the_same_later(context, first)


async def _read_whole(
    context: CheckContext, attempts: Sequence[Attempt]
) -> dict[str, list[RecordedEvent]]:
    """Every stream, over one more connection. Raises `Broken` if acknowledged events are gone."""
    reader = await context.connect()
    found = {stream: await read_or_nothing(reader, stream) for stream in streams_of(attempts)}
    for stream, events in found.items():
        mine = [made for made in attempts if made.stream == stream]
        require_history(mine, events, *WHOLE)
    return found


async def _require_the_same_later(
    context: CheckContext, first: dict[str, list[RecordedEvent]]
) -> list[Attempt]:
    more = []
    for stream, before in first.items():
        marker = context.events(1)
        made = await attempt("the writer, afterwards", context.store, stream, marker, ANY)
        more.append(made)
        after = await read_or_nothing(context.store, stream)
        others = [event.id for event in after if event.id != marker[0].id]
        if others != [event.id for event in before]:
            read = Step("a reader, after the crash", f"read {stream!r}", f"{len(before)} events")
            later = Step("a reader, later", f"read {stream!r}", f"{len(others)} of them")
            raise Broken("what a reader found after the crash came or went later", [read, later])
    return more


FULL_EVENT_BYTES = 48 * 1024
FULL_BATCHES_MAX = 1_000
FULL_ANSWER_WITHIN_S = 30.0
FULL_WRITERS = 4
FULL_LOAD_S = 30.0
AGAIN_PAUSE_S = 0.25


@check(
    53,
    provokes="takes all room of the server's disk while writers append, until appends fail; gives"
    " it back, starts a server again that has ended, and appends; a store without a server is"
    " written by a process of its own",
    leaves="the answers while the disk was full, the acknowledged events that are missing, and"
    " the appends that fail when there is room",
    declaration=CRASH_SAFE,
    isolation=Isolation.DESTRUCTIVE,
    hurts_the_disk=True,
)
async def a_full_disk_is_an_error_and_no_loss(context: CheckContext) -> None:
    """A full disk is answered with an error, loses nothing, and ends when there is room."""
    async with on_lab_disk(context, FaultKind.FILL_DISK) as there:
        server = _started(there)
        attempts = await _until_no_room(there, server)
        refused = sum(not made.won for made in attempts)
        if not refused:
            raise NotReached("every append found room on a full disk")
        await server.free_disk()
        attempts += await _service_again(there, server)
        async with there.factory.opened() as reader:
            for stream in streams_of(attempts):
                mine = [made for made in attempts if made.stream == stream]
                require_history(mine, await read_or_nothing(reader, stream), *WHOLE)
    context.count("appends that a full disk failed", refused, least=1)
    won = sum(made.won for made in attempts)
    context.count("acknowledged appends around it", won, least=1)


async def _until_no_room(context: CheckContext, server: Server) -> list[Attempt]:
    """Every writer appends until it gets an error. Raises `Broken` where one gets nothing."""
    if isinstance(server, UsedByProcesses):
        return await _process_without_room(context, server)
    before = context.stream()
    batch = context.events(1)
    attempts = [await attempt("the writer, before", context.store, before, batch, ANY)]
    await server.fill_disk()
    writing = [_write_until_refused(context, number) for number in range(FULL_WRITERS)]
    for made in await asyncio.gather(*writing):
        attempts += made
    return attempts


async def _write_until_refused(context: CheckContext, number: int) -> list[Attempt]:
    stream, attempts = context.stream(), list[Attempt]()
    until = asyncio.get_running_loop().time() + FULL_LOAD_S
    while len(attempts) < FULL_BATCHES_MAX and asyncio.get_running_loop().time() < until:
        batch = _large(context)
        try:
            async with asyncio.timeout(FULL_ANSWER_WITHIN_S):
                made = await attempt(f"writer {number}", context.store, stream, batch, ANY)
        except TimeoutError:
            step = Step(f"writer {number}", f"append to {stream!r}", "no answer")
            within = f"within {FULL_ANSWER_WITHIN_S:g} s"
            raise Broken(f"an append to a full disk got no answer {within}", [step]) from None
        attempts.append(made)
        if not made.won:
            break
    return attempts


def _large(context: CheckContext) -> list[NewEvent]:
    limit = context.guarantees.event_limit_bytes or FULL_EVENT_BYTES
    size = min(FULL_EVENT_BYTES, limit // 2)
    return [replace(event, data=b'"%s"' % (b"x" * size)) for event in context.events(4)]


async def _process_without_room(context: CheckContext, server: Server) -> list[Attempt]:
    async def fill_and_wait(pid: int) -> None:
        del pid
        await server.fill_disk()
        await asyncio.sleep(LOAD_MAX_S)

    written = await write_until(
        context, fill_and_wait, after_s=LOAD_MAX_S / 2, data_bytes=FULL_EVENT_BYTES
    )
    return written.attempts


async def _service_again(context: CheckContext, server: Server) -> list[Attempt]:
    """Appends that succeed; a server that has ended on the full disk is started again, once."""
    stream = context.stream()
    first = await _tried_again(context, stream)
    if first is None:
        context.count("servers that a full disk ended", least=0)
        try:
            await server_again_of(context, server)
        except NoServer as error:
            step = Step("the lab", "started the server again", str(error))
            raise Broken("does not start again when there is room", [step]) from None
        first = await _tried_again(context, stream)
    if first is None:
        step = Step("a writer, when there was room", f"append to {stream!r}", "fails")
        raise Broken("takes no append when there is room again", [step])
    return [first]


async def _tried_again(context: CheckContext, stream: str) -> Attempt | None:
    """An append that is acknowledged, over a connection of its own; `None` if none is."""
    until = asyncio.get_running_loop().time() + context.profile.within_s
    while asyncio.get_running_loop().time() < until:
        try:
            async with asyncio.timeout(FULL_ANSWER_WITHIN_S), context.factory.opened() as store:
                made = await attempt(
                    "a writer, when there was room", store, stream, context.events(1), ANY
                )
        except (StoreError, TimeoutError):
            made = None
        if made is not None and made.won:
            return made
        await asyncio.sleep(AGAIN_PAUSE_S)
    return None


RECOVERIES = 3
RECOVERY_TRIES = 12
IN_RECOVERY = "kills during a recovery"
OPENING_S = 0.002
"""A library opens its files within milliseconds."""


@check(
    56,
    provokes=f"kills the server under load, starts it, and kills it again while it recovers,"
    f" {RECOVERIES} times; then lets it start; a store without a server is opened by processes"
    " that are killed in it",
    leaves="the acknowledged events that are missing",
    declaration=CRASH_SAFE,
    isolation=Isolation.DESTRUCTIVE,
)
async def a_kill_during_recovery_takes_nothing(context: CheckContext) -> None:
    """A server that is killed while it recovers from a kill keeps what it had acknowledged."""
    _require_kept(context)
    if context.server is None:
        attempts = await _killed_while_it_opens(context)
    else:
        attempts = await _killed_while_it_starts(context, context.controllable_server())
    await _read_whole(context, attempts)
    won = sum(made.won for made in attempts)
    context.count("acknowledged appends before a kill", won, least=1)


async def _killed_while_it_opens(context: CheckContext) -> list[Attempt]:
    """A store without a server recovers when a process opens it."""
    written = await write_until(context, _nothing_else, after_s=_load_s(context))
    for _ in range(RECOVERY_TRIES):
        hit = await kill_while_it_opens(context, context.rng.uniform(OPENING_S / 10, OPENING_S))
        context.count(IN_RECOVERY, int(hit), least=RECOVERIES)
        if _killed_often_enough(context):
            break
    return written.attempts


async def _killed_while_it_starts(context: CheckContext, server: Server) -> list[Attempt]:
    crash = await cut_off(context, server.kill, after_s=_load_s(context) / 2)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await _again_after_a_kill(context, server)
    took_s = loop.time() - began_s
    load_s = _load_s(context)
    after_s = context.rng.uniform(load_s / 2, load_s)
    crashes = [crash, await cut_off(context, server.kill, after_s=after_s)]
    for _ in range(RECOVERY_TRIES):
        await _kill_while_it_recovers(context, server, context.rng.uniform(0.1, 0.9) * took_s)
        if _killed_often_enough(context):
            break
    await _again_after_a_kill(context, server)
    for each in crashes:
        each.require_telling()
    return [made for each in crashes for made in each.attempts]


def _killed_often_enough(context: CheckContext) -> bool:
    return context.provoked[IN_RECOVERY].enough


async def _kill_while_it_recovers(context: CheckContext, server: Server, after_s: float) -> None:
    recovering = asyncio.create_task(server.restart())
    await asyncio.wait([recovering], timeout=after_s)
    hit = not recovering.done()
    recovering.cancel()
    ended = (await asyncio.gather(recovering, return_exceptions=True))[0]
    if isinstance(ended, NoServer):
        step = Step("the lab", "started the server again", describe_error(ended))
        raise Broken("does not start again after a kill during its recovery", [step])
    await server.kill()
    context.count(IN_RECOVERY, int(hit), least=RECOVERIES)
