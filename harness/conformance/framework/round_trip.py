"""Writes events and reads them back in every way: from streams, the log and subscriptions."""

from __future__ import annotations

import asyncio
import operator
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from uuid import UUID

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import Broken, Step, describe_ids
from harness.domain.errors import StoreError, UnsupportedByStore
from harness.domain.store import NewEvent, Position, RecordedEvent

SUBSCRIBED_WITHIN_S = 3.0
"""What a subscription has not delivered by then is left to the checks of subscriptions."""
SHOWN = 2
SHOWN_MAX = 60
"""Characters or bytes of a value in the evidence."""

Equality = Callable[[object, object], bool]
EventsById = dict[UUID, RecordedEvent]
READERS = (
    "a reader of the stream",
    "a reader of the log",
    "a subscriber from the past",
    "a subscriber who was there",
)
Readers = Mapping[str, Callable[[], Awaitable[EventsById]]]


@dataclass(frozen=True, slots=True)
class Item:
    """An event with a part that a store may change, and the name of that part."""

    label: str
    stream: str
    event: NewEvent
    refusable: bool = False
    """Whether the store may refuse it, with a typed error."""

    def long(self, characters: int) -> bool:
        """Whether a name in it has more characters."""
        return max(len(self.stream), len(self.event.type)) > characters


@dataclass(frozen=True, slots=True)
class Reading:
    """One item as one reader got it."""

    who: str
    item: Item
    recorded: RecordedEvent
    appended: Step
    at_ms: float
    """When that reader had read everything."""

    def changed(self, parts: Sequence[str], same: Equality) -> str | None:
        """The first of these parts that differs from what was written."""
        for part in parts:
            wanted = self.item.stream if part == "stream" else getattr(self.item.event, part)
            if not same(getattr(self.recorded, part), wanted):
                return part
        return None

    def steps(self, part: str) -> list[Step]:
        """What was written and what was read, as lines of evidence."""
        wrote, read = (_shown(part, event, self.item) for event in (self.item.event, self.recorded))
        did = f"appended to {self.item.stream!r}"
        return [
            Step(self.appended.who, did, wrote, self.appended.at_ms),
            Step(self.who, "read", read, self.at_ms),
        ]


def _shown(part: str, event: NewEvent | RecordedEvent, item: Item) -> str:
    value = getattr(event, part, item.stream)
    more = f" … ({len(value):,} in all)" if len(value) > SHOWN_MAX else ""
    return f"{part} {value[:SHOWN_MAX]!r}{more}"


async def require_round_trip(
    context: CheckContext, items: Sequence[Item], *parts: str, same: Equality = operator.eq
) -> list[Reading]:
    """Append each item to its stream. Raises `Broken` unless every reader gets its parts unchanged.

    Events that are missing from the log or a subscription are left to other checks.
    """
    refused, readings = await write_and_read(context, items)
    for item in items:
        if item.refusable:
            refused.pop(item.label, None)
    changed = [(each, part) for each in readings if (part := each.changed(parts, same))]
    if not changed and not refused:
        return readings
    labels = dict.fromkeys(reading.item.label for reading, _ in changed)
    reasons = [f"{', '.join(labels)} came back changed"] if labels else []
    reasons += [f"{', '.join(refused)} was refused"] if refused else []
    evidence: list[Step] = []
    for label in list(labels)[:SHOWN]:
        reading, part = next(each for each in changed if each[0].item.label == label)
        evidence += reading.steps(part)
    raise Broken("; ".join(reasons), [*evidence, *list(refused.values())[:SHOWN]])


async def write_and_read(
    context: CheckContext, items: Sequence[Item]
) -> tuple[dict[str, Step], list[Reading]]:
    """The refused appends by label, and the readings of the rest by each reader."""
    start = (await context.append(context.stream(), context.events())).position
    ids = {item.event.id for item in items}
    live = EventsById()
    collecting = asyncio.create_task(_listen(context, start, ids, live))
    refused, appended = dict[str, Step](), dict[UUID, Step]()
    for item in items:
        if isinstance(await context.attempt(item.stream, [item.event]), StoreError):
            refused[item.label] = context.steps[-1]
            ids.discard(item.event.id)
        else:
            appended[item.event.id] = context.steps[-1]
    written = [item for item in items if item.label not in refused]
    reads: Sequence[Callable[[], Awaitable[EventsById]]] = (
        lambda: _in_streams(context, written, appended),
        lambda: _in_the_log(context, start, ids),
        lambda: _deliver(context, start, ids),
        lambda: _collect(collecting, live, len(written)),
    )
    readers = dict(zip(READERS, reads, strict=True))
    try:
        readings = await _readings(context, written, appended, readers)
    finally:
        collecting.cancel()
    _count_readings(context, readings, len(written))
    return refused, readings


def _count_readings(context: CheckContext, readings: Sequence[Reading], written: int) -> None:
    """Count what each reader got. What a subscriber lacks is left to other checks."""
    by_reader = Counter(reading.who for reading in readings)
    in_streams, in_log, *delivered = (by_reader[who] for who in READERS)
    logged = written if context.guarantees.global_order != "none" else 0
    delivers = context.guarantees.subscription != "none"
    context.count("events read from their streams", in_streams, least=written)
    context.count("events read from the log", in_log, least=logged)
    context.count("events delivered by subscriptions", sum(delivered), least=int(delivers))


async def _readings(
    context: CheckContext, items: Sequence[Item], appended: Mapping[UUID, Step], readers: Readers
) -> list[Reading]:
    readings = []
    for who, read in readers.items():
        events, at_ms = await read(), context.at_ms()
        readings += [
            Reading(who, item, events[id_], appended[id_], at_ms)
            for item in items
            if (id_ := item.event.id) in events
        ]
    return readings


async def _in_streams(
    context: CheckContext, items: Sequence[Item], appended: Mapping[UUID, Step]
) -> EventsById:
    received = EventsById()
    for item in items:
        events = await context.read(item.stream) if await context.exists(item.stream) else []
        ids = [event.id for event in events]
        if ids != [item.event.id]:
            read = Step("a reader", f"read {item.stream!r}", describe_ids(events), context.at_ms())
            others = [appended[each] for each in ids if each in appended and each != item.event.id]
            raise Broken(
                f"{item.label}: the stream does not hold its event alone",
                [*others[:SHOWN], appended[item.event.id], read],
            )
        received[item.event.id] = events[0]
    return received


async def _in_the_log(
    context: CheckContext, after: Position | None, ids: Collection[UUID]
) -> EventsById:
    with suppress(UnsupportedByStore):
        log = context.store.read_all(after=after)
        return {event.id: event async for event in log if event.id in ids}
    return EventsById()


async def _deliver(
    context: CheckContext, after: Position | None, ids: Collection[UUID]
) -> EventsById:
    received = EventsById()
    return await _collect(
        asyncio.create_task(_listen(context, after, ids, received)), received, len(ids)
    )


async def _listen(
    context: CheckContext, after: Position | None, ids: Collection[UUID], received: EventsById
) -> None:
    """Collect until all have arrived. A subscription that ends early is left to other checks."""
    if context.guarantees.subscription == "none":
        return
    with suppress(StoreError):
        async with aclosing(context.store.subscribe(after=after)) as subscription:  # type: ignore[type-var]
            async for event in subscription:
                if event.id in ids:
                    received[event.id] = event
                if len(received) == len(ids):
                    return


async def _collect(collecting: asyncio.Task[None], received: EventsById, count: int) -> EventsById:
    """The events received, once all have arrived or time is up."""
    if len(received) < count:
        await asyncio.wait([collecting], timeout=SUBSCRIBED_WITHIN_S)
    if collecting.done():
        collecting.result()
    collecting.cancel()
    await asyncio.gather(collecting, return_exceptions=True)
    return received
