"""The same events by every way there is to read them: their stream, the log, subscriptions."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from uuid import UUID

from harness.conformance.bench import Bench, named
from harness.conformance.check import Broken, Step
from harness.errors import StoreError, UnsupportedByStore
from harness.store import NewEvent, Position, RecordedEvent

SUBSCRIBED_WITHIN_S = 3.0
"""What a subscription has not handed by then is for the checks of subscriptions to miss."""
SHOWN = 2
LINE = 60

Same = Callable[[object, object], bool]
Found = dict[UUID, RecordedEvent]
Ways = Mapping[str, Callable[[], Awaitable[Found]]]


@dataclass(frozen=True, slots=True)
class Item:
    """An event with something about it that could be changed, and what to call that."""

    label: str
    stream: str
    event: NewEvent


@dataclass(frozen=True, slots=True)
class Reading:
    """One item as one way of reading gave it."""

    who: str
    item: Item
    found: RecordedEvent
    appended: Step
    at_ms: float
    """When all was read that way."""

    def changed(self, parts: Sequence[str], same: Same) -> str | None:
        """The first of these parts that is not what was written."""
        for part in parts:
            wanted = self.item.stream if part == "stream" else getattr(self.item.event, part)
            if not same(getattr(self.found, part), wanted):
                return part
        return None

    def steps(self, part: str) -> list[Step]:
        """What was written and what was read, as lines of evidence."""
        wrote, read = (_shown(part, event, self.item) for event in (self.item.event, self.found))
        did = f"appended to {self.item.stream!r}"
        return [
            Step(self.appended.who, did, wrote, self.appended.at_ms),
            Step(self.who, "read", read, self.at_ms),
        ]


def _shown(part: str, event: NewEvent | RecordedEvent, item: Item) -> str:
    value = getattr(event, part, item.stream)
    more = f" … ({len(value):,} in all)" if len(value) > LINE else ""
    return f"{part} {value[:LINE]!r}{more}"


async def comes_back(
    bench: Bench, items: Sequence[Item], *parts: str, same: Same = operator.eq
) -> None:
    """Append each item to its stream; raises `Broken` unless its parts come back every way.

    What comes back changed is told before what was refused. An event that the log or a
    subscription does not give at all is other checks' business.
    """
    refused, readings = await written_and_read(bench, items)
    changed = [(each, part) for each in readings if (part := each.changed(parts, same))]
    if not changed and not refused:
        return
    labels = dict.fromkeys(reading.item.label for reading, _ in changed)
    told = [f"{', '.join(labels)} came back changed"] if labels else []
    told += [f"{', '.join(refused)} was refused"] if refused else []
    evidence: list[Step] = []
    for label in list(labels)[:SHOWN]:
        reading, part = next(each for each in changed if each[0].item.label == label)
        evidence += reading.steps(part)
    raise Broken("; ".join(told), [*evidence, *list(refused.values())[:SHOWN]])


async def written_and_read(
    bench: Bench, items: Sequence[Item]
) -> tuple[dict[str, Step], list[Reading]]:
    """What was refused, by label, and each way's reading of the rest."""
    start = (await bench.append(bench.stream(), bench.events())).position
    ids = {item.event.id for item in items}
    live = Found()
    listening = asyncio.create_task(_listen(bench, start, ids, live))
    refused, appended = dict[str, Step](), dict[UUID, Step]()
    for item in items:
        if isinstance(await bench.attempt(item.stream, [item.event]), StoreError):
            refused[item.label] = bench.steps[-1]
            ids.discard(item.event.id)
        else:
            appended[item.event.id] = bench.steps[-1]
    written = [item for item in items if item.label not in refused]
    ways: Ways = {
        "a reader of the stream": lambda: _in_streams(bench, written, appended),
        "a reader of the log": lambda: _in_the_log(bench, start, ids),
        "a subscriber from the past": lambda: _handed(bench, start, ids),
        "a subscriber who was there": lambda: _all_of(listening, live, len(written)),
    }
    try:
        return refused, await _readings(bench, written, appended, ways)
    finally:
        listening.cancel()


async def _readings(
    bench: Bench, items: Sequence[Item], appended: Mapping[UUID, Step], ways: Ways
) -> list[Reading]:
    readings = []
    for who, reading in ways.items():
        found, at_ms = await reading(), bench.at_ms()
        readings += [
            Reading(who, item, found[id_], appended[id_], at_ms)
            for item in items
            if (id_ := item.event.id) in found
        ]
    return readings


async def _in_streams(bench: Bench, items: Sequence[Item], appended: Mapping[UUID, Step]) -> Found:
    found = Found()
    for item in items:
        events = await bench.read(item.stream) if await bench.exists(item.stream) else []
        ids = [event.id for event in events]
        if ids != [item.event.id]:
            read = Step("a reader", f"read {item.stream!r}", named(events), bench.at_ms())
            others = [appended[each] for each in ids if each in appended and each != item.event.id]
            raise Broken(
                f"{item.label}: the stream does not hold its event alone",
                [*others[:SHOWN], appended[item.event.id], read],
            )
        found[item.event.id] = events[0]
    return found


async def _in_the_log(bench: Bench, after: Position | None, ids: Collection[UUID]) -> Found:
    with suppress(UnsupportedByStore):
        log = bench.store.read_all(after=after)
        return {event.id: event async for event in log if event.id in ids}
    return Found()


async def _handed(bench: Bench, after: Position | None, ids: Collection[UUID]) -> Found:
    found = Found()
    return await _all_of(asyncio.create_task(_listen(bench, after, ids, found)), found, len(ids))


async def _listen(
    bench: Bench, after: Position | None, ids: Collection[UUID], found: Found
) -> None:
    """Collect until all are there; whether a subscription breaks off is not asked here."""
    if bench.guarantees.subscription == "none":
        return
    with suppress(StoreError):
        async with aclosing(bench.store.subscribe(after=after)) as subscription:  # type: ignore[type-var]
            async for event in subscription:
                if event.id in ids:
                    found[event.id] = event
                if len(found) == len(ids):
                    return


async def _all_of(listening: asyncio.Task[None], found: Found, count: int) -> Found:
    """What was handed, once that is all of it, or in the time that there is."""
    if len(found) < count:
        await asyncio.wait([listening], timeout=SUBSCRIBED_WITHIN_S)
    if listening.done():
        listening.result()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    return found
