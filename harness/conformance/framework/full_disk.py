"""Appends to a full disk, and after it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import Broken, Step
from harness.conformance.framework.crashes import LOAD_LIMIT_S, server_or_library_again
from harness.conformance.framework.own_process import write_until
from harness.conformance.framework.races import Attempt, attempt
from harness.domain.errors import NoServer, StoreError
from harness.domain.server import Server, UsedByProcesses
from harness.domain.store import NewEvent, StreamState

ANY = StreamState.ANY
EVENT_BYTES = 48 * 1024
BATCHES_MAX = 1_000
"""Of each writer: more than servers have made ahead of what they need."""
ANSWER_WITHIN_S = 30.0
WRITERS = 4
LOAD_S = 30.0
AGAIN_PAUSE_S = 0.25


async def until_no_room(context: CheckContext, server: Server) -> list[Attempt]:
    """Every writer appends until it gets an error. Raises `Broken` where one gets nothing."""
    if isinstance(server, UsedByProcesses):
        return await _process_without_room(context, server)
    before = context.stream()
    batch = context.events(1)
    attempts = [await attempt("the writer, before", context.store, before, batch, ANY)]
    await server.fill_disk()
    writing = [_write_until_refused(context, number) for number in range(WRITERS)]
    for made in await asyncio.gather(*writing):
        attempts += made
    return attempts


async def _write_until_refused(context: CheckContext, number: int) -> list[Attempt]:
    stream, attempts = context.stream(), list[Attempt]()
    until = asyncio.get_running_loop().time() + LOAD_S
    while len(attempts) < BATCHES_MAX and asyncio.get_running_loop().time() < until:
        batch = _large(context)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                made = await attempt(f"writer {number}", context.store, stream, batch, ANY)
        except TimeoutError:
            step = Step(f"writer {number}", f"append to {stream!r}", "no answer")
            within = f"within {ANSWER_WITHIN_S:g} s"
            raise Broken(f"an append to a full disk got no answer {within}", [step]) from None
        attempts.append(made)
        if not made.won:
            break
    return attempts


def _large(context: CheckContext) -> list[NewEvent]:
    limit = context.guarantees.event_limit_bytes or EVENT_BYTES
    size = min(EVENT_BYTES, limit // 2)
    return [replace(event, data=b'"%s"' % (b"x" * size)) for event in context.events(4)]


async def _process_without_room(context: CheckContext, server: Server) -> list[Attempt]:
    async def fill_and_wait(pid: int) -> None:
        del pid
        await server.fill_disk()
        await asyncio.sleep(LOAD_LIMIT_S)

    written = await write_until(
        context, fill_and_wait, after_s=LOAD_LIMIT_S / 2, data_bytes=EVENT_BYTES
    )
    return written.attempts


async def service_again(context: CheckContext, server: Server) -> list[Attempt]:
    """Appends that succeed; a server that has ended on the full disk is started again, once."""
    stream = context.stream()
    first = await _tried_again(context, stream)
    if first is None:
        context.count("servers that a full disk ended", least=0)
        try:
            await server_or_library_again(context, server)
        except NoServer as error:
            step = Step("the lab", "started the server again", str(error))
            raise Broken("does not start again when there is room", [step], for_good=True) from None
        first = await _tried_again(context, stream)
    if first is None:
        step = Step("a writer, when there was room", f"append to {stream!r}", "fails")
        raise Broken("takes no append when there is room again", [step], for_good=True)
    return [first]


async def _tried_again(context: CheckContext, stream: str) -> Attempt | None:
    """An append that is acknowledged, over a connection of its own; `None` if none is."""
    until = asyncio.get_running_loop().time() + context.profile.within_s
    while asyncio.get_running_loop().time() < until:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S), context.factory.opened() as store:
                made = await attempt(
                    "a writer, when there was room", store, stream, context.events(1), ANY
                )
        except (StoreError, TimeoutError):
            made = None
        if made is not None and made.won:
            return made
        await asyncio.sleep(AGAIN_PAUSE_S)
    return None
