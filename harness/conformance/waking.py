"""Whether what is appended wakes an idle subscriber in time, whoever appends it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from harness.conformance.bench import Bench
from harness.conformance.check import Broken
from harness.conformance.crew import Meet
from harness.conformance.following import Following
from harness.conformance.racing import Attempt, attempt, process_events
from harness.errors import StoreError
from harness.store import Adapter, StreamState

SHOWN = 3
"""Appends in the evidence, the newest."""


async def append_once(store: Adapter, meet: Meet, number: int, stream: str) -> list[Attempt]:
    """One process's part: the first appends to the stream that a subscriber waits for.

    It alone: what a reader passes over when several commit at once is not asked here.
    """
    await meet()
    if number:
        return []
    batch = process_events(f"{stream}/{number}", 1)
    return [await attempt("another process", store, stream, batch, StreamState.ANY)]


async def woken(
    bench: Bench, follower: Following, written: Sequence[Attempt], bound_s: float
) -> None:
    """Everything acknowledged was handed within the bound. Raises `Broken`."""
    began_s = time.monotonic() - bench.at_ms() / 1000
    steps = [replace(each.step(written), at_ms=(each.began_s - began_s) * 1000) for each in written]
    try:
        await follower.until(len(written))
    except Broken as broken:
        raise Broken(broken.why, [*steps[-SHOWN:], *broken.evidence]) from None
    for each, wrote in zip(written, steps, strict=True):
        if isinstance(each.ended, StoreError):
            raise each.ended
        for woke in follower.times(each.batch[0].id)[:1]:
            took_s = (woke.at_ms or 0) / 1000 - (each.ended_s - began_s)
            if took_s > bound_s:
                told = f"{took_s:.2f} s after the acknowledgement, of {bound_s:g}"
                raise Broken(
                    "an idle subscriber woke too late", [wrote, replace(woke, result=told)]
                )
