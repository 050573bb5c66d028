"""`sqlite:boundary`: tagged events in the same file, and appends conditional on a query."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from harness.domain.boundaries import (
    TAGGED,
    BoundaryAppend,
    BoundaryEvent,
    BoundaryItem,
    BoundaryRead,
    TaggedEvent,
)
from harness.domain.errors import BoundaryViolated
from harness.domain.store import (
    AppendResult,
    ExpectedVersion,
    Guarantees,
    NewEvent,
    Position,
    RecordedEvent,
)
from harness.stores._shared import append_rules
from harness.stores.sqlite import reading, writing
from harness.stores.sqlite.reading import SQL
from harness.stores.sqlite.store import SqliteOptions, SqliteStore

QUERY = SQL.statements("boundary_queries")
_NO_LIMIT = -1
COUNTED = 64
"""Events of each tag of an item that are counted at first."""


class BoundarySqlite(SqliteStore):
    """Appends conditional on a query take the file's one write lock, look, and write."""

    schema = (*SqliteStore.schema, "boundary")

    @classmethod
    def declares(cls, options: SqliteOptions) -> Guarantees:
        return replace(super().declares(options), boundaries="emulated")

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Raises `AppendRefused` for the name that tagged events have in place of a stream's."""
        append_rules.require_stream(stream)
        return await super().append(stream, events, expected=expected)

    def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        if stream == TAGGED:
            return append_rules.no_stream(stream)
        return super().read_stream(stream, start=start, limit=limit, backwards=backwards)

    async def query(
        self,
        items: Sequence[BoundaryItem],
        *,
        after: Position | None = None,
        limit: int | None = None,
    ) -> BoundaryRead:
        return await self._reader.call(_query, items, after, limit)

    async def append_if(
        self,
        events: Sequence[TaggedEvent],
        *,
        fail_if_match: Sequence[BoundaryItem] | None,
        after: Position | None = None,
    ) -> BoundaryAppend:
        position = await self._writer.call(_append_if, events, fail_if_match, after)
        self._appended.ring()
        return BoundaryAppend(position)


def _query(
    connection: sqlite3.Connection,
    items: Sequence[BoundaryItem],
    after: Position | None,
    limit: int | None,
) -> BoundaryRead:
    """Up to the head as it is first: what is appended meanwhile lies beyond it."""
    head = reading.head_position(connection)
    events = _boundary(connection, items, reading.index_of(after, head), head, limit)
    found = tuple(BoundaryEvent(event, _tags_of(connection, event.position[0])) for event in events)
    if limit is not None and len(found) == limit:
        return BoundaryRead(found, found[-1].event.position if found else after)
    return BoundaryRead(found, Position((head,)) if head else None)


def _boundary(
    connection: sqlite3.Connection,
    items: Sequence[BoundaryItem],
    after: int,
    head: int,
    limit: int | None,
) -> list[RecordedEvent]:
    """The boundary's events between two positions, the first excluded."""
    parts = [_item(connection, item, after) for item in items] or [(QUERY["everything"], [after])]
    query = QUERY["boundary"].replace(":found", " UNION ".join(part for part, _ in parts))
    values = [value for _, of_part in parts for value in of_part]
    rows = connection.execute(query, [*values, head, _NO_LIMIT if limit is None else limit])
    return [reading.recorded(row) for row in rows]


def _item(
    connection: sqlite3.Connection, item: BoundaryItem, after: int
) -> tuple[str, list[object]]:
    """A query for the positions of one item's events, and its values."""
    if not item.types and not item.tags:
        return QUERY["everything"], [after]
    marks = ", ".join("?" for _ in item.types)
    if not item.tags:
        return QUERY["of_types"].replace(":types", marks), [after, *item.types]
    first, *others = _rarest_first(connection, item.tags, after)
    parts = [QUERY["of_tag"], *(QUERY["and_tag"] for _ in others)]
    if item.types:
        parts.append(QUERY["and_types"].replace(":types", marks))
    return "\n".join(parts), [first, after, *others, *item.types]


def _rarest_first(connection: sqlite3.Connection, tags: Sequence[str], after: int) -> Sequence[str]:
    """The first has the fewest events after `after`; nobody counts a common tag whole.

    All are counted up to a bound, and to ten times as much until one has fewer.
    """
    bound = COUNTED
    while len(tags) > 1:
        counts = {
            tag: connection.execute(QUERY["count_of_tag"], (tag, after, bound)).fetchone()[0]
            for tag in tags
        }
        tags = sorted(tags, key=lambda tag: counts[tag])
        if counts[tags[0]] < bound:
            break
        bound *= 10
    return tags


def _tags_of(connection: sqlite3.Connection, position: int) -> frozenset[str]:
    return frozenset(tag for (tag,) in connection.execute(QUERY["tags_of"], (position,)))


def _append_if(
    connection: sqlite3.Connection,
    events: Sequence[TaggedEvent],
    fail_if_match: Sequence[BoundaryItem] | None,
    after: Position | None,
) -> Position | None:
    """Write all of `events`, or raise and write none."""
    append_rules.require_events(events)
    writing.require_utf8(*(text for event in events for text in (event.type, *event.tags)))
    writing.require_utf8(
        *(text for item in fail_if_match or () for text in (*item.types, *item.tags))
    )
    with writing.transaction(connection):
        known = [writing.known(connection, event) for event in events]
        repeated = append_rules.original(TAGGED, events, known)
        if repeated is not None:
            recorded = [_tags_of(connection, old.position) for old in known if old]
            append_rules.require_same_tags(events, recorded)
            return Position((repeated.position,))
        head = reading.head_position(connection)
        if fail_if_match is not None:
            start = reading.index_of(after, head)
            for match in _boundary(connection, fail_if_match, start, head, 1):
                raise BoundaryViolated(f"event {match.id} was written in the meantime")
        return _write(connection, events, head)


def _write(
    connection: sqlite3.Connection, events: Sequence[TaggedEvent], head: int
) -> Position | None:
    result = writing.write(connection, TAGGED, events, head)
    rows = [
        (tag, position)
        for position, event in enumerate(events, head + 1)
        for tag in set(event.tags)
    ]
    connection.executemany(QUERY["insert_tag"], rows)
    return result.position
