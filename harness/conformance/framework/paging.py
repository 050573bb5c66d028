"""Writes streams, and compares them with reads in pages, large reads and reads of batches."""

from __future__ import annotations

import asyncio
import string
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from uuid import UUID

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import Broken, Step, describe_versions
from harness.conformance.framework.history_oracle import require_history
from harness.conformance.framework.races import Attempt
from harness.domain.store import NewEvent, Position, RecordedEvent
from harness.verification import Kind

KIB = 1024
MEGABYTE = KIB * KIB
LARGE_BYTES = (40_000, 150_000)
"""Bounds of the size of a large event."""
LARGE_STREAM_BYTES = 3 * MEGABYTE
LONG_ENOUGH, LONG_EVENTS = (1_025, 1_400), (4_097, 4_600)
"""Bounds of the length of a long stream, which is beyond the largest page of any store."""
BATCH = 100
LENGTHS = ((3, 40), (130, 400), (1_025, 1_200))
"""Bounds of the lengths of the streams that are read in ranges."""
LONG_READ = 100
"""Events; a smaller read is one page of any store."""
PAGES = ((2, 7), (20, 120), (257, 600))
"""Bounds of the sizes of pages in which the log is read, for each of these lengths."""
RANGES, RANGES_OF_SCANS = 2, 0
"""Drawn ranges of a stream; fewer where a read looks through the whole log."""
RANGES_MIN, LONG_READS_MIN = 24, 2
"""Ranges compared, and those of them that are long and backwards; fewer prove nothing."""
TOTALS = ((64 * KIB, 4), (256 * KIB, 4), (MEGABYTE, 2))
"""Bytes that batches cross in total, and how many batches at a time."""
TOTAL_EVENTS_MAX = 40
_POLL_S = 0.05
_HEADROOM = 4 * KIB
"""What an event may have beside its data, where its size is limited."""
_LETTERS = (string.ascii_letters * 5)[:256].encode()


@dataclass(frozen=True, slots=True)
class WrittenStream:
    """The events appended to one stream, and for each the line of evidence of its append."""

    stream: str
    events: Sequence[NewEvent]
    steps: Mapping[UUID, Step]

    @property
    def ids(self) -> list[UUID]:
        """In the order of their appends."""
        return [event.id for event in self.events]

    def first_step(self, actual: Sequence[UUID], wanted: Sequence[UUID]) -> list[Step]:
        """The append of the first event in which these two differ, if it is one of this stream."""
        pairs = zip_longest(wanted, actual)
        differing = (one or other for one, other in pairs if one != other)
        return [self.steps[first] for first in islice(differing, 1) if first in self.steps]


async def write_batches(
    context: CheckContext, stream: str, batches: Iterable[Sequence[NewEvent]]
) -> WrittenStream:
    """Append these batches one after another."""
    events, steps = list[NewEvent](), dict[UUID, Step]()
    for batch in batches:
        await context.append(stream, batch)
        events += batch
        steps |= {event.id: context.steps[-1] for event in batch}
    return WrittenStream(stream, events, steps)


def large_batches(context: CheckContext) -> Iterator[Sequence[NewEvent]]:
    """Large events of drawn sizes, each a batch, until they are `LARGE_STREAM_BYTES`."""
    total = 0
    while total <= LARGE_STREAM_BYTES:
        size = min(context.rng.randint(*LARGE_BYTES), data_limit(context))
        yield [_event_of(context, size)]
        total += size


def data_limit(context: CheckContext) -> int:
    """The largest data that an event may surely have; `MEGABYTE` where there is no limit."""
    limit = context.guarantees.event_limit_bytes
    return MEGABYTE if limit is None else max(limit - _HEADROOM, 1)


def crossing_batches(context: CheckContext, total: int, count: int) -> list[list[NewEvent]]:
    """`count` batches, each of more than `total` bytes of data; none if the store limits them."""
    most = min(context.guarantees.batch_limit or TOTAL_EVENTS_MAX, TOTAL_EVENTS_MAX)
    fewest = max(-(-total * 5 // 4 // data_limit(context)), 2)
    if fewest > most:
        return []
    batches = []
    for _ in range(count):
        size, bytes_ = context.rng.randint(fewest, most), context.rng.randint(total, total * 5 // 4)
        batches.append([_event_of(context, bytes_ // size + 1) for _ in range(size)])
    return batches


def _event_of(context: CheckContext, size: int) -> NewEvent:
    """An event with `size` bytes of data, JSON of random letters."""
    return context.events(data=b'"' + random_letters(context, max(size - 2, 0)) + b'"')[0]


def small_batches(context: CheckContext, count: int, size: int) -> Iterator[Sequence[NewEvent]]:
    """`count` small events in batches of `size`, or of the store's limit if that is smaller."""
    size = min(size, context.guarantees.batch_limit or size)
    for first in range(0, count, size):
        yield context.events(min(size, count - first))


async def require_exact_reads(context: CheckContext, written: WrittenStream) -> None:
    """Raises `Broken` unless reads give the requested range of the stream, for many ranges."""
    forwards = await context.read(written.stream)
    require_all_read(context, forwards, written, f"read {written.stream!r}")
    for start, limit in _ranges(context, len(forwards)):
        for backwards in (False, True):
            wanted = forwards[start:][:: -1 if backwards else 1][:limit]
            actual = await context.read(
                written.stream, start=start, limit=limit, backwards=backwards
            )
            if actual != wanted:
                did = f"read {len(forwards)} events from {start}, at most {limit}"
                versions = describe_versions(actual)
                read = Step("a reader", did + ", backwards" * backwards, versions, context.at_ms())
                appended = written.first_step(_ids(actual), _ids(wanted))
                raise Broken("a read gave other events", [*appended, read])
            context.count("ranges of streams read", least=RANGES_MIN)
            if backwards and start and len(actual) > LONG_READ:
                what = f"of over {LONG_READ} events backwards to a version above 0"
                context.count(f"reads {what}", least=LONG_READS_MIN)


def _ranges(context: CheckContext, length: int) -> Iterator[tuple[int, int | None]]:
    """Starts and limits of reads of a stream: the edges, a long range, and drawn ones."""
    rng = context.rng
    if length < LONG_READ:
        yield from ((0, None), (0, 0), (0, length), (0, length + 1), (1, length))
        yield from ((length - 1, None), (length, None), (length + rng.randint(1, length), 1))
    early = rng.randint(1, max(length // 8, 1))
    yield from ((early, None), (early, rng.randint(length // 2, length)))
    scans = context.guarantees.stream_read == "scan"
    for _ in range(RANGES_OF_SCANS if scans else RANGES):
        yield rng.randrange(1, length), rng.choice((None, rng.randint(1, length)))


async def require_complete_pages(
    context: CheckContext, written: WrittenStream, start: Position | None, size: int
) -> None:
    """Raises `Broken` unless the log, read in pages, has the stream's events once, in order.

    The stream was written after `start`.
    """
    await _page(context, start, 0)
    actual: list[UUID] = []
    after = start
    while len(actual) < len(written.ids):
        page = await _whole_page(context, after, size, set(written.ids).difference(actual))
        actual += [event.id for event in page if event.stream == written.stream]
        if not page:
            break
        context.count("pages of the log", least=len(PAGES))
        after = page[-1].position
    if actual != written.ids:
        what = f"{len(actual)} of {len(written.ids)} events, or in another order"
        read = Step("a reader", f"read the log in pages of {size}", what, context.at_ms())
        appended = written.first_step(actual, written.ids)
        raise Broken("reading in pages gives other events", [*appended, read])


async def _whole_page(
    context: CheckContext, after: Position | None, size: int, missing: set[UUID]
) -> list[RecordedEvent]:
    """A page that is full or has all that is missing.

    A log may delay what is behind an older open transaction, so the same page is read again until
    time is up. Raises `Broken` for one that still ends early.
    """
    until = time.monotonic() + context.profile.within_s
    while True:
        page = await _page(context, after, size)
        if len(page) == size or missing <= {event.id for event in page}:
            return page
        if time.monotonic() > until:
            read = Step("a reader", f"read the log, at most {size}", f"{len(page)} events")
            raise Broken("a page of the log ends early", [*context.steps[-1:], read])
        await asyncio.sleep(_POLL_S)


async def _page(context: CheckContext, after: Position | None, limit: int) -> list[RecordedEvent]:
    """Raises `Broken` if the log gives more than the limit."""
    page = [event async for event in context.store.read_all(after=after, limit=limit)]
    if len(page) > limit:
        did = f"read the log, at most {limit}"
        read = Step("a reader", did, f"{len(page)} events", context.at_ms())
        raise Broken("a limit was exceeded", [*context.steps[-1:], read])
    return page


def random_letters(context: CheckContext, count: int) -> bytes:
    """`count` random letters, so that moved, cut and padded data is noticed."""
    return context.rng.randbytes(count).translate(_LETTERS)


async def require_complete_reads(
    context: CheckContext, written: WrittenStream, start: Position | None
) -> None:
    """Raises `Broken` unless the stream, in both directions, and the log have these events.

    The stream was written after `start`.
    """
    stream = written.stream
    forwards = await context.read(stream)
    require_all_read(context, forwards, written, f"read {stream!r}")
    backwards = await context.read(stream, backwards=True)
    require_all_read(context, backwards[::-1], written, f"read {stream!r} backwards")
    reads = [forwards, backwards]
    if context.guarantees.global_order != "none":
        reads.append(await context.log([stream], after=start))
        require_all_read(context, reads[-1], written, "read the log")
    long = sum(len(read) >= LONG_ENOUGH[0] for read in reads)
    large = sum(sum(len(event.data) for event in read) > LARGE_STREAM_BYTES for read in reads)
    context.count(f"reads of more than {LONG_ENOUGH[0] - 1:,} events", long, least=2)
    context.count(f"reads of more than {LARGE_STREAM_BYTES // MEGABYTE} MiB", large, least=2)


def require_all_read(
    context: CheckContext, actual: Sequence[RecordedEvent], written: WrittenStream, did: str
) -> None:
    """Raises `Broken` unless exactly the written events were read, unchanged and in order."""
    ids = _ids(actual)
    if ids != written.ids:
        missing = set(written.ids).difference(ids)
        what = f"{len(actual)} of {len(written.ids)} events" + ("" if missing else ", rearranged")
        read = Step("a reader", did, what, context.at_ms())
        raise Broken("a large read is incomplete", [*written.first_step(ids, written.ids), read])
    for event, wanted in zip(actual, written.events, strict=True):
        if event.data != wanted.data:
            read = Step("a reader", did, first_difference(event.data, wanted.data), context.at_ms())
            raise Broken("an event came back changed", [written.steps[event.id], read])


def _ids(events: Sequence[RecordedEvent]) -> list[UUID]:
    return [event.id for event in events]


def first_difference(actual: bytes, wanted: bytes) -> str:
    """Where the bytes read begin to differ from those written."""
    pairs = enumerate(zip(actual, wanted, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), min(len(actual), len(wanted)))
    return f"{len(actual):,} bytes of {len(wanted):,}, other ones from byte {same:,} on"


def require_batch_order(
    context: CheckContext,
    attempts: Sequence[Attempt],
    recorded: Sequence[RecordedEvent],
    where: str,
) -> None:
    """Raises `Broken` unless each batch was read in its order, and if atomic, without gaps."""
    places = defaultdict[UUID, list[int]](list)
    for place, event in enumerate(recorded):
        places[event.id].append(place)
    for each in attempts:
        given = [event.id for event in each.batch]
        found = sorted(place for one in set(given) for place in places.get(one, ()))
        actual = [recorded[place] for place in found]
        if each.won and [event.id for event in actual] != given:
            steps = [each.step(attempts), *order_difference(given, actual, where)]
            raise Broken(f"a batch stands in another order in {where}", steps)
    if context.guarantees.atomic_append:
        kinds = Kind.BATCH_BROKEN, Kind.TORN, Kind.WRITTEN_THOUGH_REFUSED
        require_history(attempts, recorded, *kinds)


def order_difference(
    given: Sequence[UUID], actual: Sequence[RecordedEvent], where: str
) -> list[Step]:
    """The batch and the events read, from the first difference on."""
    pairs = enumerate(zip_longest(given, (event.id for event in actual)))
    at = next(number for number, (wanted, read) in pairs if wanted != read)
    read = [f"{event.id} at version {event.version}" for event in actual[at : at + 2]]
    batch = [f"{number}: {given[number]}" for number in range(at, min(at + 2, len(given)))]
    return [
        Step("the batch", "has", ", then ".join(batch) or f"{len(given)} events"),
        Step("a reader", f"read its events in {where}", ", then ".join(read) or "no more of it"),
    ]
