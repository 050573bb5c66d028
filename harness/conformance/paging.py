"""Reads in pages, and reads that are larger than any page."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from uuid import UUID

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Step
from harness.store import NewEvent, Position, RecordedEvent

LARGE_EVENTS, LARGE_BYTES = 30, 100_000
LONG_EVENTS, BATCH = 1_200, 100
"""A stream longer than a thousand events, in as few appends as the store takes."""
PAGE = 7
_LETTERS = (string.ascii_letters * 5)[:256].encode()


@dataclass(frozen=True, slots=True)
class Written:
    """What was appended to one stream, and the line of evidence of each event's append."""

    stream: str
    events: Sequence[NewEvent]
    steps: Mapping[UUID, Step]

    @property
    def ids(self) -> list[UUID]:
        """In the order in which they were appended."""
        return [event.id for event in self.events]

    def step(self, found: Sequence[UUID], wanted: Sequence[UUID]) -> list[Step]:
        """The append of the first event in which these two differ, if it was one of these."""
        pairs = zip_longest(wanted, found)
        differing = (one or other for one, other in pairs if one != other)
        return [self.steps[first] for first in islice(differing, 1) if first in self.steps]


async def write(bench: Bench, stream: str, batches: Iterable[Sequence[NewEvent]]) -> Written:
    """Append these batches, one after another."""
    events, steps = list[NewEvent](), dict[UUID, Step]()
    for batch in batches:
        await bench.append(stream, batch)
        events += batch
        steps |= {event.id: bench.steps[-1] for event in batch}
    return Written(stream, events, steps)


def large(bench: Bench) -> Iterator[Sequence[NewEvent]]:
    """So many large events, each a batch."""
    for _ in range(LARGE_EVENTS):
        yield bench.events(data=b'"' + letters(bench, LARGE_BYTES) + b'"')


def in_batches(bench: Bench, count: int, size: int) -> Iterator[Sequence[NewEvent]]:
    """So many small events, in batches of a size, or as large as the store takes."""
    size = min(size, bench.guarantees.batch_limit or size)
    for first in range(0, count, size):
        yield bench.events(min(size, count - first))


async def exact(bench: Bench, written: Written, forwards: Sequence[RecordedEvent]) -> None:
    """Raises `Broken` unless each read gives what is asked for of the stream."""
    for start in (0, 1, 15, 29, 30, 99):
        for limit in (None, 0, 1, PAGE, 30, 31):
            for backwards in (False, True):
                wanted = forwards[start:][:: -1 if backwards else 1][:limit]
                found = await bench.read(
                    written.stream, start=start, limit=limit, backwards=backwards
                )
                if found != wanted:
                    did = f"read from {start}, at most {limit}" + ", backwards" * backwards
                    versions = f"versions {[event.version for event in found]}"
                    read = Step("a reader", did, versions, bench.at_ms())
                    appended = written.step(_ids(found), _ids(wanted))
                    raise Broken("a read gave other events", [*appended, read])


async def paged(bench: Bench, written: Written) -> None:
    """Raises `Broken` unless the log in pages gives the stream's events once each, in order."""
    found: list[UUID] = []
    after: Position | None = None
    while len(found) < len(written.ids):
        page = await _page(bench, after, PAGE * PAGE)
        found += [event.id for event in page if event.stream == written.stream]
        if not page:
            break
        after = page[-1].position
    if found != written.ids:
        what = f"{len(found)} of {len(written.ids)} events, or in another order"
        read = Step("a reader", f"read the log in pages of {PAGE * PAGE}", what, bench.at_ms())
        appended = written.step(found, written.ids)
        raise Broken("reading in pages gives other events", [*appended, read])
    await _page(bench, None, 0)


async def _page(bench: Bench, after: Position | None, limit: int) -> list[RecordedEvent]:
    """Raises `Broken` if the log gives more than it was asked for."""
    page = [event async for event in bench.store.read_all(after=after, limit=limit)]
    if len(page) > limit:
        did = f"read the log, at most {limit}"
        read = Step("a reader", did, f"{len(page)} events", bench.at_ms())
        raise Broken("a limit was not kept", [*bench.steps[-1:], read])
    return page


def letters(bench: Bench, count: int) -> bytes:
    """So many letters in no order: what is moved, cut or filled up shows."""
    return bench.rng.randbytes(count).translate(_LETTERS)


async def came_whole(bench: Bench, written: Written) -> None:
    """Raises `Broken` unless the stream, both ways, and the log give exactly these events."""
    stream = written.stream
    came(bench, await bench.read(stream), written, f"read {stream!r}")
    backwards = await bench.read(stream, backwards=True)
    came(bench, backwards[::-1], written, f"read {stream!r} backwards")
    if bench.guarantees.global_order != "none":
        came(bench, await bench.log([stream]), written, "read the log")


def came(bench: Bench, found: Sequence[RecordedEvent], written: Written, did: str) -> None:
    """Raises `Broken` unless exactly the written events came, whole and in their order."""
    ids = _ids(found)
    if ids != written.ids:
        missing = set(written.ids).difference(ids)
        what = f"{len(found)} of {len(written.ids)} events" + ("" if missing else ", rearranged")
        read = Step("a reader", did, what, bench.at_ms())
        raise Broken("a large read is incomplete", [*written.step(ids, written.ids), read])
    for event, wanted in zip(found, written.events, strict=True):
        if event.data != wanted.data:
            read = Step("a reader", did, compared(event.data, wanted.data), bench.at_ms())
            raise Broken("an event came back changed", [written.steps[event.id], read])


def _ids(events: Sequence[RecordedEvent]) -> list[UUID]:
    return [event.id for event in events]


def compared(found: bytes, wanted: bytes) -> str:
    """Where the bytes that were read begin to differ from those that were written."""
    pairs = enumerate(zip(found, wanted, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), min(len(found), len(wanted)))
    return f"{len(found):,} bytes of {len(wanted):,}, other ones from byte {same:,} on"
