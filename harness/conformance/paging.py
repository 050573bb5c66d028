"""Reads in pages, and reads that are larger than any page."""

from __future__ import annotations

import string
from collections.abc import Sequence

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Step
from harness.store import NewEvent, Position, RecordedEvent

LARGE_EVENTS, LARGE_BYTES = 30, 100_000
PAGE = 7
_LETTERS = (string.ascii_letters * 5)[:256].encode()


async def paged(bench: Bench, stream: str, wanted: Sequence[object]) -> None:
    """Raises `Broken` unless the log in pages gives the stream's events once each, in order."""
    found: list[object] = []
    after: Position | None = None
    while len(found) < len(wanted):
        page = [event async for event in bench.store.read_all(after=after, limit=PAGE * PAGE)]
        found += [event.id for event in page if event.stream == stream]
        if len(page) > PAGE * PAGE:
            read = Step("a reader", f"read the log, at most {PAGE * PAGE}", f"{len(page)} events")
            raise Broken("a limit was not kept", [read])
        if not page:
            break
        after = page[-1].position
    if found != list(wanted):
        what = f"{len(found)} of {len(wanted)} events, or in another order"
        raise Broken("reading in pages gives other events", [Step("a reader", "paged", what)])


async def large(bench: Bench, stream: str) -> list[NewEvent]:
    """Append so many large events, one by one, and give them."""
    written = []
    for _ in range(LARGE_EVENTS):
        batch = bench.events(data=b'"' + letters(bench, LARGE_BYTES) + b'"')
        await bench.append(stream, batch)
        written += batch
    return written


def letters(bench: Bench, count: int) -> bytes:
    """So many letters in no order: what is moved, cut or filled up shows."""
    return bench.rng.randbytes(count).translate(_LETTERS)


def came(
    bench: Bench, found: Sequence[RecordedEvent], written: Sequence[NewEvent], did: str
) -> None:
    """Raises `Broken` unless exactly the written events came, whole and in their order."""
    if [event.id for event in found] != [event.id for event in written]:
        there = {event.id for event in found}
        missing = [number for number, event in enumerate(written) if event.id not in there]
        what = f"{len(found)} of {len(written)} events" + ("" if missing else ", in another order")
        first = [bench.steps[missing[0] - len(written)]] if missing else []
        read = Step("a reader", did, what, bench.at_ms())
        raise Broken("a large read is incomplete", [*first, read])
    for number, (event, wanted) in enumerate(zip(found, written, strict=True)):
        if event.data != wanted.data:
            read = Step("a reader", did, compared(event.data, wanted.data), bench.at_ms())
            appended = bench.steps[number - len(written)]
            raise Broken("a large event came back changed", [appended, read])


def compared(found: bytes, wanted: bytes) -> str:
    """Where the bytes that were read begin to differ from those that were written."""
    pairs = enumerate(zip(found, wanted, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), min(len(found), len(wanted)))
    return f"{len(found):,} bytes of {len(wanted):,}, other ones from byte {same:,} on"
