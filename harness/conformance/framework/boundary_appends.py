"""Appends that are conditional on a boundary: what each states, its answer, and what follows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from harness.conformance.framework.check_context import CheckContext
from harness.conformance.framework.check_result import (
    Broken,
    Disturbed,
    Step,
    Unsupported,
    describe_answer,
    describe_ids,
    is_decision,
)
from harness.domain.boundaries import (
    Boundaries,
    BoundaryAppend,
    BoundaryEvent,
    BoundaryItem,
    TaggedEvent,
    matches,
)
from harness.domain.cancellation import raise_if_cancelled
from harness.domain.errors import BoundaryViolated, OutcomeUnknown, StoreError, UnsupportedByStore
from harness.domain.store import Position

Items = tuple[BoundaryItem, ...]
EVERYTHING: Items = ()
SHOWN = 2
"""Appends in the evidence: two that exclude each other are one too many."""
NAMES_MAX = 6


@dataclass(frozen=True, slots=True)
class Boundary:
    """A boundary, and the type and the tags of the events that its writer adds."""

    items: Items
    event_type: str
    tags: tuple[str, ...] = ()

    def hits(self, other: Boundary) -> bool:
        """Whether its events belong to the other boundary."""
        return matches(other.items, self.event_type, self.tags)

    def append(
        self, context: CheckContext, after: Position | None, *, size: int = 1
    ) -> ConditionalAppend:
        """New events on condition that nobody added any to the boundary after this head."""
        events = tagged(context, self.event_type, self.tags, size)
        return ConditionalAppend(events, self.items, after)

    def unconditional(self, context: CheckContext, *, size: int = 1) -> ConditionalAppend:
        """New events on no condition."""
        return ConditionalAppend(tagged(context, self.event_type, self.tags, size), None)


@dataclass(frozen=True, slots=True)
class ConditionalAppend:
    """What one `append_if` states."""

    events: tuple[TaggedEvent, ...]
    fail_if_match: Items | None
    after: Position | None = None

    @property
    def ids(self) -> list[UUID]:
        """Of its events, in their order."""
        return [event.id for event in self.events]

    def __str__(self) -> str:
        first = self.events[0]
        about = f" {first.type}{described_tags(first.tags)}"
        if self.fail_if_match is None:
            return f"append {describe_ids(self.events)}{about}"
        seen = "" if self.after is None else f" after {self.after}"
        condition = described_items(self.fail_if_match)
        return f"append {describe_ids(self.events)}{about}, unless there is {condition}{seen}"


@dataclass(frozen=True, slots=True)
class BoundaryAttempt:
    """One racer's append, its answer, and its duration by the machine's monotonic clock."""

    racer: str
    sent: ConditionalAppend
    began_s: float
    ended_s: float
    answer: BoundaryAppend | StoreError

    @property
    def won(self) -> bool:
        """Whether the append is acknowledged."""
        return isinstance(self.answer, BoundaryAppend)

    @property
    def violated(self) -> bool:
        """Whether it is refused because of its condition."""
        return isinstance(self.answer, BoundaryViolated)

    @property
    def answered(self) -> bool:
        """Whether the store decided. If not, nothing follows for its race."""
        return is_decision(self.answer)

    @property
    def unknown(self) -> bool:
        """Whether it may have been written without an answer."""
        return isinstance(self.answer, OutcomeUnknown)

    def step(self, race: Sequence[BoundaryAttempt] = ()) -> Step:
        """A line of evidence; its time counts from the first append of the race."""
        took_ms = (self.ended_s - self.began_s) * 1000
        result = f"{describe_answer(self.answer)}, after {took_ms:.1f} ms"
        at_ms = (self.began_s - min(each.began_s for each in race or (self,))) * 1000
        return Step(self.racer, str(self.sent), result, at_ms)


async def attempt_if(racer: str, store: Boundaries, sent: ConditionalAppend) -> BoundaryAttempt:
    """A timed append. Raises `Unsupported` where the store does."""
    began_s = time.monotonic()
    answer: BoundaryAppend | StoreError
    try:
        answer = await store.append_if(
            sent.events, fail_if_match=sent.fail_if_match, after=sent.after
        )
    except UnsupportedByStore as error:
        raise Unsupported(str(error)) from error
    except StoreError as error:
        raise_if_cancelled()
        answer = error
    return BoundaryAttempt(racer, sent, began_s, time.monotonic(), answer)


async def decided(by: str, store: Boundaries, sent: ConditionalAppend) -> BoundaryAttempt:
    """An append that nobody races. Raises `Disturbed` where the store decided nothing."""
    made = await attempt_if(by, store, sent)
    if not made.answered:
        raise Disturbed(describe_answer(made.answer))
    return made


async def written(store: Boundaries, sent: ConditionalAppend, *, why: str) -> BoundaryAttempt:
    """An append that must not be refused. Raises `Broken`, saying `why`, if it is."""
    made = await decided("the writer", store, sent)
    if not made.won:
        raise Broken(why, [made.step()])
    return made


async def boundary_writers(context: CheckContext, count: int) -> list[Boundaries]:
    """Connections for `count` writers. Raises `Unsupported` where there are no boundaries."""
    return [as_boundaries(each) for each in await context.writers(count)]


def as_boundaries(store: object) -> Boundaries:
    """The store. Raises `Unsupported` where it has no boundaries."""
    if not isinstance(store, Boundaries):
        raise Unsupported("no appends that are conditional on a query")
    return store


def tagged(
    context: CheckContext, event_type: str, tags: Iterable[str], count: int = 1
) -> tuple[TaggedEvent, ...]:
    """New events with seeded ids."""
    return tuple(
        TaggedEvent(event.id, event_type, event.data, event.metadata, tags=tuple(tags))
        for event in context.events(count)
    )


def new_tag(context: CheckContext) -> str:
    """A tag that no event has yet."""
    return context.stream("seat:")


def new_type(context: CheckContext) -> str:
    """A type that no event has yet."""
    return context.stream("Reserved")


async def log_head(context: CheckContext, store: Boundaries) -> Position | None:
    """The state of the log, from a query of a boundary without events."""
    return (await store.query([BoundaryItem(tags=(new_tag(context),))])).head


async def require_outcomes(store: Boundaries, attempts: Sequence[BoundaryAttempt]) -> None:
    """Raises `Broken` unless all events of winners are there once, and none of refused appends.

    Of an append without an answer there may be all events or none. A winner's answer has the
    position of its last event.
    """
    about = dict.fromkeys((e.type, e.tags) for each in attempts for e in each.sent.events)
    items = [BoundaryItem((event_type,), tags) for event_type, tags in about]
    events = [each.event for each in (await store.query(items)).events]
    found, places = [each.id for each in events], {each.id: each.position for each in events}
    for each in attempts:
        ids, wanted = each.sent.ids, frozenset(each.sent.ids)
        there = [event_id for event_id in found if event_id in wanted]
        if there in ([ids] if each.won else [[]] if each.answered else [ids, []]):
            answered = each.answer.position if isinstance(each.answer, BoundaryAppend) else None
            if answered not in (None, places.get(ids[-1])):
                result = f"its last event is at {places[ids[-1]]}"
                steps = [each.step(attempts), read_step(items, result)]
                raise Broken("an append's answer has another position than its last event", steps)
            continue
        if each.won:
            why = "an acknowledged append is not there as a whole"
        else:
            why = "a refused append is there" if each.answered else "a part of an append is there"
        raise Broken(why, [each.step(attempts), read_step(items, _counted(there, ids))])


def _counted(there: Sequence[UUID], ids: Sequence[UUID]) -> str:
    order = "" if sorted(there, key=ids.index) == list(there) else ", in another order"
    return f"{len(there)} of its {len(ids)} events{order}"


def described_items(items: Iterable[BoundaryItem]) -> str:
    """`type A|B with x, y or any type with z`; `any event` for no items."""
    words = [
        f"{'|'.join(shown(item.types)) or 'any type'}{described_tags(item.tags)}" for item in items
    ]
    return " or ".join(shown(words)) or "any event"


def described_tags(tags: Iterable[str]) -> str:
    """` with x, y`."""
    words = ", ".join(shown(list(tags)))
    return f" with {words}" if words else ""


def shown(names: Sequence[str]) -> list[str]:
    """The first of them, and how many more there are."""
    more = [f"{len(names) - NAMES_MAX} more"] if len(names) > NAMES_MAX else []
    return [*names[:NAMES_MAX], *more]


def read_step(items: Iterable[BoundaryItem], result: str) -> Step:
    """A line of evidence for a query."""
    return Step("a reader", f"query {described_items(items)}", result)


def ids_of(events: Iterable[BoundaryEvent]) -> list[UUID]:
    """In their order."""
    return [each.event.id for each in events]


Shape = Callable[[CheckContext], Boundary]


def by_tag(context: CheckContext) -> Boundary:
    """Any type with one tag."""
    tag = new_tag(context)
    return Boundary((BoundaryItem(tags=(tag,)),), new_type(context), (tag,))


def by_type(context: CheckContext) -> Boundary:
    """One type, whatever its tags."""
    event_type = new_type(context)
    return Boundary((BoundaryItem((event_type,)),), event_type, (new_tag(context),))


def by_bare_type(context: CheckContext) -> Boundary:
    """One type, of events without tags."""
    event_type = new_type(context)
    return Boundary((BoundaryItem((event_type,)),), event_type)


def by_types_and_tags(context: CheckContext) -> Boundary:
    """Two types that have two tags, of events with three."""
    types = new_type(context), new_type(context)
    one, two, three = (new_tag(context) for _ in range(3))
    return Boundary((BoundaryItem(types, (two, one)),), types[1], (one, three, two))


def by_two_items(context: CheckContext) -> Boundary:
    """A tag or another type, of events of that type."""
    event_type = new_type(context)
    either = BoundaryItem(tags=(new_tag(context),)), BoundaryItem((event_type,))
    return Boundary(either, event_type, (new_tag(context),))


SHAPES: tuple[Shape, ...] = (by_tag, by_type, by_types_and_tags, by_bare_type, by_two_items)
"""How one boundary may be described."""
