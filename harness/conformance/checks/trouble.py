"""Checks 51 to 56. Trouble: power is lost, processes are killed, disks are full, networks fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from harness.conformance.framework.check import (
    CRASH_SAFE,
    IDS,
    POWER_SAFE,
    RECENT_IDS,
    Isolation,
    check,
)
from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import (
    Broken,
    NotReached,
    OutOfReach,
    Step,
    Unsupported,
    describe_error,
)
from harness.conformance.framework.crashes import (
    CutOff,
    cut_off,
    load_s,
    on_lab_disk,
    read_or_nothing,
    require_kept,
    server_again,
    server_or_library_again,
    started,
    written_streams,
)
from harness.conformance.framework.full_disk import service_again, until_no_room
from harness.conformance.framework.history_oracle import require_history
from harness.conformance.framework.network_clients import (
    CLIENTS,
    FAULT_S,
    appended_over_a_cut,
    clients_over,
    lost_answers,
    repaired,
)
from harness.conformance.framework.own_process import (
    kill_while_it_opens,
    nothing_else,
    write_until,
)
from harness.conformance.framework.power_losses import (
    LOSSES,
    Survival,
    count_power_losses,
    look,
    loss_bound_s,
    without_power,
)
from harness.conformance.framework.races import Attempt, attempt
from harness.conformance.framework.retries import EVERY, EXACT
from harness.conformance.framework.server_faults import network_to
from harness.domain.durability import Durability
from harness.domain.errors import NoServer
from harness.domain.expected_version import spelled
from harness.domain.faults import FaultKind
from harness.domain.server import Server
from harness.domain.store import RecordedEvent, StreamState
from harness.verification import Kind

ANY = StreamState.ANY
WHOLE = (Kind.LOST, Kind.DUPLICATED, Kind.FOREIGN, Kind.TORN, Kind.WRITTEN_THOUGH_REFUSED)
LOSSES_THOROUGH = 20
TRIES = 2
"""For each power loss: one that met nobody in the middle of an append says nothing."""


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
        server, survival = started(there), Survival(bound_s=await loss_bound_s(there))
        wanted = LOSSES_THOROUGH if context.profile.thorough else LOSSES
        for _ in range(wanted * TRIES):
            survival.add(await without_power(there, server))
            try:
                await server_or_library_again(there, server)
            except NoServer as error:
                measured = survival.measured(no_start=str(error))
                context.power_losses.append(measured)
                step = Step("the lab", "started the server again", str(error))
                raise Broken(
                    "does not start again after a power loss", [step], for_good=True
                ) from None
            await look(there, survival)
            context.power_losses.append(survival.measured())
            nothing_left = bool(survival.gone) and not survival.crashes[-1].telling
            if survival.telling >= wanted or nothing_left:
                break
    count_power_losses(context, survival)
    if survival.gone:
        raise Broken(str(survival.measured()), survival.shown)


KILLS, KILLS_THOROUGH = 2, 10
SOON = 2
"""A server that has just started is killed after at most this number of acknowledgements."""


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
    require_kept(context)
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
    moments = (context.rng.uniform(0.0, load_s(context)), 0.0)
    if context.server is None:
        crashes = []
        for after_s in moments:
            written = await write_until(context, nothing_else, after_s=after_s)
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


async def _again_after_a_kill(context: CheckContext, server: Server) -> None:
    """Raises `Broken` where it does not start."""
    try:
        await server_again(context, server)
    except NoServer as error:
        step = Step("the lab", "started the server again", str(error))
        raise Broken("does not start again after a kill", [step], for_good=True) from None


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
    found = {stream: await read_or_nothing(reader, stream) for stream in written_streams(attempts)}
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
        server = started(there)
        attempts = await until_no_room(there, server)
        refused = sum(not made.won for made in attempts)
        if not refused and context.guarantees.durability is Durability.MEMORY:
            raise OutOfReach("keeps everything in memory: a full disk is none of its business")
        if not refused:
            raise NotReached("every append found room on a full disk")
        await server.free_disk()
        attempts += await service_again(there, server)
        async with there.factory.opened() as reader:
            for stream in written_streams(attempts):
                mine = [made for made in attempts if made.stream == stream]
                require_history(mine, await read_or_nothing(reader, stream), *WHOLE)
    context.count("appends that a full disk failed", refused, least=1)
    won = sum(made.won for made in attempts)
    context.count("acknowledged appends around it", won, least=1)


CUTS = 4
LOSSES_OF_ANSWERS_MAX = 8
"""Times that an expectation is tried, until an append under it was written and not answered."""


@check(
    54,
    provokes=f"cuts the network between the server and {CLIENTS} writers {CUTS} times, at seeded"
    " moments and for longer than their deadline; lets pass what waited in it, or breaks the"
    " connections; reads every stream past that network",
    leaves="the append, the answer that its writer got, and what is read",
    declaration=IDS,
    isolation=Isolation.DESTRUCTIVE,
)
async def a_cut_network_makes_no_answer_wrong(context: CheckContext) -> None:
    """After a cut, what was acknowledged is there, and what failed for certain is not."""
    async with network_to(context) as network:
        clients = await clients_over(context, network)
        for number in range(CUTS):
            did = f"cut the network for {FAULT_S:g} s"
            breaks = number % 2 == 1
            with _after(did + ", then broke the connections" if breaks else did):
                met = await appended_over_a_cut(context, network, clients, breaks=breaks)
            unknown = sum(made.unknown for made in met)
            context.count("appends that a cut left without an answer", unknown, least=CUTS)
            failed = sum(not made.won and not made.unknown for made in met)
            context.count("appends that failed for certain meanwhile", failed, least=0)


@contextmanager
def _after(did: str) -> Iterator[None]:
    """What was done to the network is part of the evidence."""
    try:
        yield
    except Broken as broken:
        raise Broken(broken.why, [Step("the lab", did), *broken.evidence]) from None


@check(
    55,
    provokes=f"loses the answers to {CLIENTS} writers at seeded moments, under every expectation"
    " that the store knows, until an append under it is written and not answered; then each"
    " writer sends its append again",
    leaves="the append, its retry, and what is read",
    declaration=RECENT_IDS,
    isolation=Isolation.DESTRUCTIVE,
)
async def a_retry_after_lost_answers_writes_once(context: CheckContext) -> None:
    """An append whose answer the network loses is there once after a retry, and acknowledged."""
    async with network_to(context) as network:
        clients = await clients_over(context, network)
        for kind in (ANY,) if context.guarantees.occ == "none" else EVERY:
            with suppress(Unsupported):  # check 19 reports that
                count = 0
                for _ in range(LOSSES_OF_ANSWERS_MAX):
                    with _after(f"lost every answer for {FAULT_S:g} s"):
                        lost = await lost_answers(context, network, clients, kind)
                        count += await repaired(context, clients, lost)
                    if count:
                        break
                name = "an exact version" if kind == EXACT else spelled(kind)
                what = f"appends under {name} that were written and not answered"
                context.count(what, count, least=1)
                if not count:
                    return  # too little already


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
    require_kept(context)
    if context.server is None:
        attempts = await _killed_while_it_opens(context)
    else:
        attempts = await _killed_while_it_starts(context, context.controllable_server())
    await _read_whole(context, attempts)
    won = sum(made.won for made in attempts)
    context.count("acknowledged appends before a kill", won, least=1)


async def _killed_while_it_opens(context: CheckContext) -> list[Attempt]:
    """A store without a server recovers when a process opens it."""
    written = await write_until(context, nothing_else, after_s=load_s(context))
    for _ in range(RECOVERY_TRIES):
        hit = await kill_while_it_opens(context, context.rng.uniform(OPENING_S / 10, OPENING_S))
        context.count(IN_RECOVERY, int(hit), least=RECOVERIES)
        if _killed_often_enough(context):
            break
    return written.attempts


async def _killed_while_it_starts(context: CheckContext, server: Server) -> list[Attempt]:
    crash = await cut_off(context, server.kill, after_s=load_s(context) / 2)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await _again_after_a_kill(context, server)
    took_s = loop.time() - began_s
    most_s = load_s(context)
    after_s = context.rng.uniform(most_s / 2, most_s)
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
        raise Broken("does not start again after a kill during its recovery", [step], for_good=True)
    await server.kill()
    context.count(IN_RECOVERY, int(hit), least=RECOVERIES)
