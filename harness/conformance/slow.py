"""A slow subscriber: what piles up behind it, and whether it still gets everything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Step
from harness.conformance.following import Following
from harness.conformance.subscriber import Sent, append_all
from harness.conformance.weighing import Weight

SLOW_EVENTS, SLOW_BYTES = 3_000, 20_000
HALF = SLOW_EVENTS // 2


async def many(
    bench: Bench, stream: str, weigh: Callable[[], Weight], *, settle_s: float
) -> tuple[list[Sent], Weight]:
    """Append that many, and what the second half of them added."""
    data = b'"' + b"x" * (SLOW_BYTES - 2) + b'"'
    sent = await append_all(bench, [stream], HALF, data=data)
    await asyncio.sleep(settle_s)
    before = weigh()
    sent += await append_all(bench, [stream], SLOW_EVENTS - HALF, data=data)
    await asyncio.sleep(settle_s)
    return sent, weigh() - before


def in_turn(slow: Following, sent: Sequence[Sent]) -> None:
    """Handed as it was written to its one stream. Raises `Broken`."""
    for told, each in zip(slow.events, sent, strict=True):
        if told.id != each.event.id:
            steps = [each.step(), *slow.times(each.event.id), *slow.times(told.id)]
            raise Broken("a slow subscriber was not handed its stream in order", steps)


def bounded(bench: Bench, piled_up: Weight) -> None:
    """Less was added than half of what was appended. Raises `Broken`."""
    if piled_up.events > HALF // 2 or piled_up.bytes > HALF * SLOW_BYTES // 2:
        what = f"{piled_up.events:,} recorded events and {piled_up.bytes:,} bytes more"
        weighed = Step("the lab", f"weighed what {HALF:,} events added", what, bench.at_ms())
        raise Broken("what waits for a slow subscriber is not bounded", [weighed])
