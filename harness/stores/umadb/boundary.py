"""Consistency boundaries as UmaDB has them: a query that nothing may match, after a position."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from harness.domain.boundaries import (
    BoundaryAppend,
    BoundaryEvent,
    BoundaryItem,
    BoundaryRead,
    TaggedEvent,
    matches,
)
from harness.domain.errors import (
    BoundaryViolated,
    EventIdReused,
    NotSent,
    OutcomeUnknown,
    ReadFailed,
)
from harness.domain.store import Position
from harness.stores._shared.append_rules import require_events
from harness.stores.umadb.client import LOOKING, READING, Client, Conflict, appending
from harness.stores.umadb.declaration import UmaOptions
from harness.stores.umadb.namespace import Namespace
from harness.stores.umadb.protocol import Fields, messages
from harness.stores.umadb.tags import Tags, for_boundaries


class WithBoundaries:
    """The server decides: an item is one of its own, and a state is a position of its log.

    It recognises a retry by the ids of the events that match the condition, so an event that its
    own condition does not match has its id as a tag, and the condition asks for that tag too. It
    looks at no content: what it may have answered for an earlier append is read and compared.
    """

    def __init__(self, client: Client, namespace: Namespace, options: UmaOptions) -> None:
        self._client, self._namespace, self._options = client, namespace, options
        self._seen = 0
        """The highest position that this connection knows: whatever is written next is beyond."""

    async def query(
        self,
        items: Sequence[BoundaryItem],
        *,
        after: Position | None = None,
        limit: int | None = None,
    ) -> BoundaryRead:
        """One read, which also tells the head of the server's log that it saw."""
        with READING:
            tags = await self._namespace.tags()
            if tags is None or limit == 0:
                return BoundaryRead((), after)
            start = (after[0] if after else tags.generation) + 1
            try:
                how = {"query": _query(tags, items), "start": start, "limit": limit}
                found, head = await self._client.read_whole(**how)
            except ValueError as error:
                raise ReadFailed(f"no message can be made of it: {error}") from None
        self._seen = max(self._seen, head or 0)
        events = tuple(
            BoundaryEvent(event, tags.own(each)) for each in found if (event := tags.recorded(each))
        )
        return BoundaryRead(events, after if head is None else Position((head,)))

    async def append_if(
        self,
        events: Sequence[TaggedEvent],
        *,
        fail_if_match: Sequence[BoundaryItem] | None,
        after: Position | None = None,
    ) -> BoundaryAppend:
        """One call; a second one reads what an earlier append wrote."""
        require_events(events)
        ids = [event.id for event in events]
        if len(set(ids)) < len(ids):
            raise EventIdReused("the same event id twice in one append")
        sent = False
        try:
            async with asyncio.timeout(self._options.deadline_s):
                with LOOKING:
                    tags = await self._namespace.require()
                with appending(len(events)):
                    named = _named(events, fail_if_match)
                    batch = for_boundaries(tags, events, named)
                    condition = {
                        "fail_if_events_match": _condition(tags, fail_if_match, named),
                        "after": after[0] if after else None,
                    }
                    before, sent = self._seen, True
                    position = await self._client.append(batch, condition)
                    self._seen = max(self._seen, position)
                    if position <= before:
                        await self._require_same(tags, batch, position)
        except Conflict as conflict:
            if conflict.is_of(ids):
                raise EventIdReused("an event id is already used by another append") from None
            raise BoundaryViolated("an event that matches was written in the meantime") from None
        except TimeoutError:
            if sent:
                raise OutcomeUnknown("UmaDB did not answer before the deadline") from None
            raise NotSent("the deadline passed before the append was sent") from None
        return BoundaryAppend(Position((position,)))

    async def _require_same(self, tags: Tags, batch: Sequence[Fields], last: int) -> None:
        """Raises `EventIdReused` unless the events up to this position are the batch."""
        start = last + 1 - len(batch)
        found, _ = await self._client.read_whole(start=start, limit=len(batch))
        for one, fields in zip(found, batch, strict=True):
            sent = messages().Event(**fields)
            again = messages().SequencedEvent(position=one.position, event=sent)
            if tags.own(one) != tags.own(again) or _content(one.event) != _content(sent):
                raise EventIdReused(f"event {sent.uuid} was written with other content or tags")


def _named(
    events: Sequence[TaggedEvent], fail_if_match: Sequence[BoundaryItem] | None
) -> frozenset[UUID]:
    """The events that their own condition does not match, by id."""
    return frozenset(
        event.id
        for event in events
        if fail_if_match is None or not matches(fail_if_match, event.type, event.tags)
    )


def _condition(tags: Tags, items: Sequence[BoundaryItem] | None, named: frozenset[UUID]) -> Fields:
    asked = [] if items is None else _query(tags, items)["items"]
    return {"items": [*asked, *({"tags": [tags.of_id(each)]} for each in named)]}


def _query(tags: Tags, items: Sequence[BoundaryItem]) -> Fields:
    """An item without tags has that of all tagged events: the server's types are the log's."""
    return {
        "items": [
            {
                "types": item.types,
                "tags": [tags.of_tag(tag) for tag in item.tags] or [tags.of_boundaries],
            }
            for item in items or (BoundaryItem(),)
        ]
    }


def _content(event: Any) -> tuple[object, ...]:
    """Without the time, which each try has of its own."""
    _, *metadata = event.metadata
    return event.uuid, event.event_type, event.data, [(each.key, each.value) for each in metadata]
