"""A subscriber that asks for new events only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Step
from harness.conformance.following import following
from harness.conformance.subscriber import SETTLE_S, Sent, append_all, once_each, until_all
from harness.store import Position

FRESH_S = 0.05
"""Between two appends while it is not known whether the subscription has begun."""


async def nothing_old_from_now(bench: Bench, old: Sequence[Sent]) -> None:
    """Who subscribes from now gets what is new from some moment on, and nothing else.

    Nobody is told when that moment is, so something is written until something comes.
    """
    stream, new = old[0].stream, list[Sent]()
    began = Step("a subscriber from now on", "subscribed", at_ms=bench.at_ms())
    async with following(bench, [stream], who=began.who, after=Position.NOW) as fresh:
        until = time.monotonic() + bench.profile.within_s
        while not fresh.events and time.monotonic() < until:
            new += await append_all(bench, [stream], 1)
            await asyncio.sleep(FRESH_S)
        new += await append_all(bench, [stream], 1)
        await fresh.until(1)
        if any(fresh.ids()[0] == each.event.id for each in old):
            told = [old[0].step(), began, fresh.seen()]
            raise Broken("a subscriber from now on was handed what was there before", told)
        first = next((n for n, each in enumerate(new) if each.event.id == fresh.ids()[0]), 0)
        await until_all(fresh, new[first:], told=[began])
        await asyncio.sleep(SETTLE_S)
    once_each(fresh, new[first:], told=[began])
