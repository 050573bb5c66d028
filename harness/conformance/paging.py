"""Reads in pages, and reads that are larger than any page."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Step
from harness.store import Position, RecordedEvent

LARGE_EVENTS, LARGE_BYTES = 30, 100_000
PAGE = 7


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


def came(found: Sequence[RecordedEvent], wanted: Collection[object], did: str) -> None:
    """Raises `Broken` unless exactly the wanted events came, whole."""
    whole = all(len(event.data) == LARGE_BYTES + 2 for event in found)
    if [event.id for event in found] != list(wanted) or not whole:
        what = f"{len(found)} of {len(wanted)} events" + ("" if whole else ", some cut")
        raise Broken("a large read is incomplete", [Step("a reader", did, what)])
