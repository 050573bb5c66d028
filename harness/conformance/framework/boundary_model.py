"""A log of tagged events as it should be, and the queries and conditions that a store answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from harness.conformance.framework.boundary_appends import (
    ConditionalAppend,
    Items,
    decided,
    described_tags,
    log_head,
    read_step,
    tagged,
)
from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import SHORT_ID, Broken
from harness.domain.boundaries import (
    TAGGED,
    Boundaries,
    BoundaryEvent,
    BoundaryItem,
    TaggedEvent,
    matches,
)
from harness.domain.store import Position

TYPES = ("Opened", "opened", "OpenedAgain", "Closed", "Fermé")
TAGS = ("course:1", "course:10", "Course:1", "course:1,2", "course:%", "a \"b\" \\ 'c'", "é")
"""Names that a pattern, a prefix, a list or a fold of cases takes for others."""
PLAIN_TAGS = 4
"""Tags that most events are about."""
TAGS_MAX, BATCH_MAX = 5, 7
ITEMS_MAX, ITEMS_DRAWN = 3, 30
WIDE = 40
"""Items, or types of one, of which the last alone is in the log."""
PROBE = "Probed"


@dataclass(slots=True)
class ModelledLog:
    """The events written so far, in their order, and the head of the log after each append."""

    context: CheckContext
    store: Boundaries
    other: Boundaries
    """Another connection, which reads."""
    events: list[TaggedEvent] = field(default_factory=list)
    heads: list[tuple[int, Position | None]] = field(default_factory=list)
    """How many events there were, and the head."""

    async def begin(self) -> None:
        """Take the log's head before anything is written."""
        self.heads.append((0, await log_head(self.context, self.store)))

    async def write(self, events: Sequence[TaggedEvent]) -> None:
        """Append them on no condition."""
        await self.store.append_if(events, fail_if_match=None)
        await self._written(events)

    async def _written(self, events: Sequence[TaggedEvent]) -> None:
        self.events += events
        self.heads.append((len(self.events), await log_head(self.context, self.other)))

    def found(self, items: Items, since: int = 0) -> list[TaggedEvent]:
        """What a query should find after a number of events."""
        return [each for each in self.events[since:] if matches(items, each.type, each.tags)]

    async def require_query(self, items: Items, at: int, *, limit: int | None = None) -> None:
        """Raises `Broken` unless a query after this head finds what it should, in its order.

        With a limit it reads on, page by page.
        """
        since, after = self.heads[at]
        if at == 0 and not is_everything(items) and self.context.rng.random() < 0.5:  # noqa: PLR2004
            after = None
        wanted, found = self.found(items, since), list[BoundaryEvent]()
        while True:
            page = await self.other.query(items, after=after, limit=limit)
            found += page.events
            if limit is None or not page.events or len(found) > len(wanted):
                break
            if len(page.events) > limit:
                result = f"{len(page.events)} events with a limit of {limit}"
                raise Broken("a query is longer than its limit", [read_step(items, result)])
            after = page.head
        self._require_same(items, wanted, found)
        self.context.count("queries that found all of their events", bool(wanted), least=20)

    def _require_same(
        self, items: Items, wanted: Sequence[TaggedEvent], found: Sequence[BoundaryEvent]
    ) -> None:
        pairs = zip_longest(map(_written_as, wanted), map(_read_as, found))
        for place, (one, other) in enumerate(pairs, 1):
            if one != other:
                result = f"{len(found)} events; number {place} is {_told(other)}"
                wanted_step = f"{len(wanted)} events; number {place} is {_told(one)}"
                raise Broken(
                    "a query does not find what belongs to its boundary",
                    [
                        read_step(items, result),
                        replace(read_step(items, wanted_step), who="should be"),
                    ],
                )

    async def require_condition(self, items: Items, at: int) -> None:
        """Raises `Broken` unless an append is refused exactly if the boundary has newer events."""
        since, after = self.heads[at]
        violating = self.found(items, since)
        sent = ConditionalAppend(tagged(self.context, self.context.stream(PROBE), ()), items, after)
        made = await decided("the writer", self.store, sent)
        if made.won:
            await self._written(sent.events)
        if made.won == bool(violating):
            newest = _told(_written_as(violating[-1])) if violating else "none"
            result = f"{len(violating)} newer events belong to it, the last is {newest}"
            raise Broken(
                "an append was written although its condition is violated" if made.won
                else "an append was refused although nothing new belongs to its boundary",
                [made.step(), read_step(items, result)],
            )  # fmt: skip
        self.context.count("conditions that refused", bool(violating), least=20)
        self.context.count("conditions that did not", not violating, least=20)

    def last_head_before(self, items: Items) -> int:
        """The newest head that an event of this boundary comes after; the first if none does."""
        newest = max(
            (n for n, e in enumerate(self.events) if matches(items, e.type, e.tags)), default=0
        )
        return max(index for index, (count, _) in enumerate(self.heads) if count <= newest)


def drawn_batches(context: CheckContext, count: int) -> Iterator[list[TaggedEvent]]:
    """So many events in small batches, of drawn types and tags; some have none."""
    types, tags = names(context)
    while count > 0:
        most = min(BATCH_MAX, count, context.guarantees.batch_limit or BATCH_MAX)
        size = context.rng.randint(1, most)
        count -= size
        yield [_drawn(context, types, tags) for _ in range(size)]


def names(context: CheckContext) -> tuple[list[str], list[str]]:
    """The check's own types and tags."""
    mine = context.category("of-")
    return [f"{mine}{each}" for each in TYPES], [f"{mine}{each}" for each in TAGS]


def _drawn(context: CheckContext, types: Sequence[str], tags: Sequence[str]) -> TaggedEvent:
    rng = context.rng
    pool = tags if rng.random() < 0.4 else tags[:PLAIN_TAGS]  # noqa: PLR2004
    chosen = rng.sample(pool, rng.randint(0, min(TAGS_MAX, len(pool))))
    return tagged(context, rng.choice(types), chosen)[0]


def every_combination(context: CheckContext) -> Iterator[Items]:
    """Items with no, one and several types, and no, one and several tags; then several items, and
    very many."""
    (types, tags), rng = names(context), context.rng
    for some_types in ((), *((each,) for each in types), (types[0], types[3]), tuple(types[1:])):
        for some_tags in (
            (),
            *((each,) for each in tags),
            *(tuple(rng.sample(tags[:PLAIN_TAGS], size)) for size in (2, 2, 3)),
        ):
            yield (BoundaryItem(some_types, some_tags),)
    yield ()
    none = [f"{types[0]}{number}" for number in range(WIDE)]
    for wide in (
        (BoundaryItem((*none, types[0])),),
        (*(BoundaryItem(tags=(each,)) for each in none), BoundaryItem(tags=(tags[0],))),
    ):
        yield from (wide, wide)  # of two in a row, one is asked after an old head
    for number in range(ITEMS_DRAWN):
        yield tuple(_drawn_item(context, types, tags) for _ in range(2 + number % ITEMS_MAX))


def _drawn_item(context: CheckContext, types: Sequence[str], tags: Sequence[str]) -> BoundaryItem:
    """Never one that is everything."""
    rng = context.rng
    while True:
        item = BoundaryItem(
            tuple(rng.sample(types, rng.randint(0, 2))),
            tuple(rng.sample(tags[: PLAIN_TAGS + 1], rng.randint(0, 3))),
        )
        if item != BoundaryItem():
            return item


def is_everything(items: Items) -> bool:
    """Whether every event belongs to it, those of other checks as well."""
    return matches(items, "", ())


Content = tuple[str, str, frozenset[str], bytes, bytes, str]


def _written_as(event: TaggedEvent) -> Content:
    tags = frozenset(event.tags)
    return str(event.id), event.type, tags, event.data, event.metadata, TAGGED


def _read_as(read: BoundaryEvent) -> Content:
    event = read.event
    return str(event.id), event.type, read.tags, event.data, event.metadata, event.stream


def _told(content: Content | None) -> str:
    if content is None:
        return "missing"
    event_id, event_type, tags, *_ = content
    return f"{event_id[:SHORT_ID]} {event_type}{described_tags(sorted(tags))}"
