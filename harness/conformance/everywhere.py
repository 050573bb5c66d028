"""The same events by every way there is to read them: their stream, the log, subscriptions."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from uuid import UUID

from harness.conformance.bench import Bench
from harness.conformance.check import Broken, Step
from harness.errors import StoreError, UnsupportedByStore
from harness.store import NewEvent, Position, RecordedEvent

SUBSCRIBED_WITHIN_S = 3.0
"""What a subscription has not handed by then is for the checks of subscriptions to miss."""
SHOWN = 2
LINE = 60

Same = Callable[[object, object], bool]
Found = dict[UUID, RecordedEvent]


@dataclass(frozen=True, slots=True)
class Item:
    """An event with something about it that could be changed, and what to call that."""

    label: str
    stream: str
    event: NewEvent

    def step(self, part: str) -> Step:
        """What was written, as a line of evidence."""
        return Step("the writer", f"appended to {self.stream!r}", _shown(part, self.event, self))


@dataclass(frozen=True, slots=True)
class Reading:
    """One item as one way of reading gave it."""

    who: str
    item: Item
    found: RecordedEvent

    def changed(self, parts: Sequence[str], same: Same) -> str | None:
        """The first of these parts that is not what was written."""
        for part in parts:
            wanted = self.item.stream if part == "stream" else getattr(self.item.event, part)
            if not same(getattr(self.found, part), wanted):
                return part
        return None

    def step(self, part: str) -> Step:
        """What was read, as a line of evidence."""
        return Step(self.who, "read", _shown(part, self.found, self.item))


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
    refused, readings = await _written_and_read(bench, items)
    changed = [(each, part) for each in readings if (part := each.changed(parts, same))]
    if not changed and not refused:
        return
    labels = dict.fromkeys(reading.item.label for reading, _ in changed)
    told = [f"{', '.join(labels)} came back changed"] if labels else []
    told += [f"{', '.join(refused)} was refused"] if refused else []
    evidence: list[Step] = []
    for label in list(labels)[:SHOWN]:
        reading, part = next(each for each in changed if each[0].item.label == label)
        evidence += [reading.item.step(part), reading.step(part)]
    raise Broken("; ".join(told), [*evidence, *list(refused.values())[:SHOWN]])


async def _written_and_read(
    bench: Bench, items: Sequence[Item]
) -> tuple[dict[str, Step], list[Reading]]:
    """What was refused, by label, and each way's reading of the rest."""
    start = (await bench.append(bench.stream(), bench.events())).position
    ids = {item.event.id for item in items}
    live = Found()
    listening = asyncio.create_task(_listen(bench, start, ids, live))
    refused = dict[str, Step]()
    for item in items:
        if isinstance(await bench.attempt(item.stream, [item.event]), StoreError):
            refused[item.label] = bench.steps[-1]
            ids.discard(item.event.id)
    written = [item for item in items if item.label not in refused]
    ways = {
        "a reader of the stream": await _in_streams(bench, written),
        "a reader of the log": await _in_the_log(bench, start, ids),
        "a subscriber from the past": await _handed(bench, start, ids),
        "a subscriber who was there": await _all_of(listening, live, len(written)),
    }
    return refused, [
        Reading(who, item, found[item.event.id])
        for who, found in ways.items()
        for item in written
        if item.event.id in found
    ]


async def _in_streams(bench: Bench, items: Sequence[Item]) -> Found:
    found = Found()
    for item in items:
        events = await bench.read(item.stream)
        if [each.id for each in events] != [item.event.id]:
            read = Step("a reader", f"read {item.stream!r}", f"{[each.id for each in events]}")
            wrote = Step("the writer", f"append {item.event.id} to {item.stream!r}", "acknowledged")
            raise Broken(f"{item.label}: the stream does not hold its event alone", [wrote, read])
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
