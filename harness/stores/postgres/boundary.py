"""`postgres:boundary`: tagged events, and appends conditional on a query, in three ways."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.domain.boundaries import (
    TAGGED,
    BoundaryAppend,
    BoundaryEvent,
    BoundaryItem,
    BoundaryRead,
    TaggedEvent,
)
from harness.domain.errors import AppendRefused, BoundaryViolated, EventIdReused
from harness.domain.store import (
    AppendResult,
    ExpectedVersion,
    Guarantees,
    NewEvent,
    Position,
    RecordedEvent,
)
from harness.stores._shared import append_rules
from harness.stores.postgres.options import PostgresOptions
from harness.stores.postgres.rows import SQL, Row, refuse
from harness.stores.postgres.store import StreamLock

QUERY = SQL.statements("boundary_queries")
TRIES_MAX = 50
"""Transactions of one append, of which the server rolls back all but the last."""
TRIES_AT_ONCE = 10
"""Each later one waits a millisecond longer: while the commit of an append that won waits for its
sync, every try is rolled back, and fifty take less time than a slow disk."""
EXHAUSTED = "SerializationFailure"
OTHER_ORDER = (
    "the log may show an event before an append whose condition excludes it: SERIALIZABLE keeps to"
    " some order of transactions, which need not be the log's"
)
"""Where only one of two appends hits the other: it may be taken for the earlier one, and commit
later. Where each hits the other, the server refuses one."""
_NOT_IN_A_ROW = ("SerializationError", "DeadlockDetectedError")
_BEGINNING = (0, 0)
_NO_LIMIT = 2**63 - 1


class Boundary(StreamLock):
    """Appends conditional on a query of types and tags, kept apart as the option `lock` says.

    A table of keys finds a boundary's events; a state that was read is a snapshot.
    """

    scripts = (*StreamLock.scripts, "boundary")

    @classmethod
    def declares(cls, options: PostgresOptions) -> Guarantees:
        """`serializable` gives up after this number of tries, also where nothing was hit."""
        serializable = options.lock == "serializable"
        return replace(
            super().declares(options),
            boundaries="emulated",
            refuses_disjoint=serializable,
            note=OTHER_ORDER if serializable else "",
        )

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
        """First the rest of the state that an earlier query was cut in, then what came since."""
        if limit == 0:
            return BoundaryRead((), after)
        state = _State.of(after)
        found: list[BoundaryEvent] = []
        left = _NO_LIMIT if limit is None else limit
        keyed = _keyed(items)
        while True:
            rows = await self._session.read(
                QUERY["boundary"], keyed, state.low, state.high, *state.place, left - len(found)
            )
            found += [self._found(row) for row in rows if row["id"] is not None]
            seen = state.high or _lasting(rows[0])
            if len(found) == left:
                place = (rows[-1]["tx"], rows[-1]["position"])
                return BoundaryRead(tuple(found), replace(state, place=place, high=seen).position)
            if state.high is None:
                return BoundaryRead(tuple(found), _State(low=seen).position if seen else None)
            state = _State(low=seen)

    def _found(self, row: Row) -> BoundaryEvent:
        (event,) = self._reading.recorded([row[:9]])
        return BoundaryEvent(event, frozenset(row["tags"]))

    async def append_if(
        self,
        events: Sequence[TaggedEvent],
        *,
        fail_if_match: Sequence[BoundaryItem] | None,
        after: Position | None = None,
    ) -> BoundaryAppend:
        """One round trip a try. The key of ids finds a retry, and a second try its result."""
        columns = self._columns(events)
        if len(set(columns[0])) < len(events):
            raise EventIdReused("the same event id twice in one append")
        tags = json.dumps([event.tags for event in events])
        keyed = None if fail_if_match is None else _keyed(fail_if_match)
        state = _State.of(after)
        arguments = (*columns, tags, keyed, state.low, *state.place)
        known = False
        for tries in range(1, TRIES_MAX + 1):
            if tries > TRIES_AT_ONCE:
                await asyncio.sleep((tries - TRIES_AT_ONCE) / 1000)
            try:
                (row,) = await self._session.write(
                    QUERY[self._session.options.lock], *arguments, known
                )
            except EventIdReused:
                known = True
            except AppendRefused as error:
                if error.reason not in _NOT_IN_A_ROW:
                    raise
            else:
                return BoundaryAppend(self._written(row), tries)
        raise AppendRefused(f"rolled back {TRIES_MAX} times", reason=EXHAUSTED)

    def _written(self, row: Row) -> Position:
        if row["outcome"] == "violated":
            raise BoundaryViolated("an event that matches was written in the meantime")
        refuse(row, TAGGED, 0)
        return self.order.position(row["tx"], row["position"])


_HEAD, _CUT = 0, 1


@dataclass(frozen=True, slots=True)
class _State:
    """What a query has seen: everything in the snapshot `low`, and of `high` what is up to `place`.

    As a position it is `(_HEAD, *low)` or `(_CUT, *place, numbers of low, *low, *high)`, a snapshot
    being the numbers of its text. An event's own position is its place alone.
    """

    low: str | None = None
    high: str | None = None
    place: tuple[int, int] = _BEGINNING

    @classmethod
    def of(cls, position: Position | None) -> _State:
        match position:
            case None:
                return cls()
            case (tx, number):
                return cls(place=(tx, number))
            case (kind, tx, number, length, *numbers) if kind == _CUT:
                low, high = numbers[:length], numbers[length:]
                return cls(_text(low), _text(high), (tx, number))
            case (_, *numbers):
                return cls(_text(numbers))
        raise ValueError(f"no position of this store: {position}")

    @property
    def position(self) -> Position:
        low = _numbers(self.low)
        if self.high is None:
            return Position((_HEAD, *low))
        return Position((_CUT, *self.place, len(low), *low, *_numbers(self.high)))


def _lasting(row: Row) -> str | None:
    """The snapshot up to the newest event; `None` for an empty log.

    Beyond it are only ids of transactions that left nothing. A crash may forget them, and the
    server gives them to others afterwards, which a head from before must not cover.
    """
    if row["newest"] is None:
        return None
    end = row["newest"] + 1
    running = [each for each in _numbers(row["seen"])[2:] if each < end]
    return _text([min([end, *running]), end, *running])


def _numbers(snapshot: str | None) -> list[int]:
    """Of `xmin:xmax:xip,…`."""
    return [int(part) for part in (snapshot or "").replace(":", ",").split(",") if part]


def _text(numbers: Sequence[int]) -> str | None:
    if not numbers:
        return None
    least, next_, *running = numbers
    return f"{least}:{next_}:{','.join(map(str, running))}"


def _keyed(items: Sequence[BoundaryItem]) -> str:
    """Items with the key that each reads by, as `boundary.sql` explains them."""
    keyed: list[dict[str, Any]] = []
    for item in items:
        if item.tags:
            keyed.append({"key": f"t:{item.tags[0]}", "types": item.types, "tags": item.tags})
        elif item.types:
            keyed += [{"key": f"y:{each}", "types": [each], "tags": []} for each in item.types]
        else:
            return _EVERYTHING
    return json.dumps(keyed) if keyed else _EVERYTHING


_EVERYTHING = json.dumps([{"key": "", "types": [], "tags": []}])
