"""`dynamodb:commit`: an item a commit, under dense commit numbers: one put writes an append."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from harness.domain.errors import (
    AppendRefused,
    EventIdReused,
    StreamNotFound,
    TamperingPrevented,
)
from harness.domain.store import (
    AppendResult,
    ExpectedVersion,
    NewEvent,
    Position,
    RecordedEvent,
    StreamState,
)
from harness.stores._shared.append_rules import require_expected
from harness.stores.dynamodb import items
from harness.stores.dynamodb.driver import CONDITION, Declined
from harness.stores.dynamodb.items import ITEM_BYTES_MAX, b, bytes_of, int_of, key, n, now_us, s
from harness.stores.dynamodb.table import CheckpointTable

_COMMITS_SEARCHED = 16
"""Newest commits that are searched for event ids before an append at no exact version."""
_ID_BYTES = 16
_SHORT = {
    "ProjectionExpression": "SK, #last, ids",
    "ExpressionAttributeNames": {"#last": "last"},
}


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit without its payloads: number, version of the last event, ids of the events."""

    number: int
    last: int
    ids: tuple[UUID, ...]

    @property
    def first(self) -> int:
        """The version of its first event."""
        return self.last + 1 - len(self.ids)


_NO_COMMIT = Commit(number=-1, last=-1, ids=())


class Commits(CheckpointTable):
    """Keyed by commit number, not by version, so that a stale put always conflicts."""

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """A read of the newest commits and one conditional put; for NO_STREAM the put alone."""
        items.check_expected(expected)
        items.check(stream, events, events_max=None, bytes_max=ITEM_BYTES_MAX - items.KEY_BYTES_MAX)
        if expected is StreamState.NO_STREAM and await self._put_after(stream, _NO_COMMIT, events):
            return AppendResult(len(events) - 1, None)
        while True:
            newest = await self._newest(stream, expected)
            last = newest[0] if newest else _NO_COMMIT
            original = await self._original(stream, events, newest, expected)
            if original is not None:
                return AppendResult(original, None)
            require_expected(stream, expected, None if last is _NO_COMMIT else last.last)
            if await self._put_after(stream, last, events):
                return AppendResult(last.last + len(events), None)

    async def _newest(self, stream: str, expected: ExpectedVersion) -> list[Commit]:
        """The commits that the append depends on, newest first."""
        exact = not isinstance(expected, StreamState)
        return await self._commits(stream, limit=1 if exact else _COMMITS_SEARCHED)

    async def _original(
        self,
        stream: str,
        events: Sequence[NewEvent],
        newest: Sequence[Commit],
        expected: ExpectedVersion,
    ) -> int | None:
        """The last version of these exact events if an earlier attempt wrote them."""
        ids = {event.id for event in events}
        if not isinstance(expected, StreamState) and newest and newest[0].last > expected:
            first = await self._commit_of(stream, expected + 1)
            newest = [first] if first else []
        elif expected is StreamState.NO_STREAM:
            newest = await self._commits(stream, limit=1, oldest=True)
        for commit in newest:
            if ids.intersection(commit.ids):
                if await self._contains(stream, commit, events):
                    return commit.last
                raise EventIdReused(
                    f"stream {stream!r}: an event id is already used by another append"
                )
        return None

    async def _put_after(self, stream: str, last: Commit, events: Sequence[NewEvent]) -> bool:
        """Whether the commit is written, now or by an earlier attempt that seemed to fail."""
        item = _item(stream, last, events)
        body = {
            "TableName": self._session.table,
            "Item": item,
            "ConditionExpression": "attribute_not_exists(PK)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            await self._session.write("PutItem", body)
        except Declined as error:
            present = error.reasons[0].get("Item") if error.reasons else None
            if not error.reasons or error.reasons[0].get("Code") != CONDITION:
                raise AppendRefused(str(error), reason=error.code) from error
            return present is not None and _same(stream, present, events)
        return True

    async def _commits(self, stream: str, *, limit: int, oldest: bool = False) -> list[Commit]:
        """The newest commits, newest first, or the oldest ones."""
        body = {**self._query(stream, 0), **_SHORT, "ScanIndexForward": oldest, "Limit": limit}
        answer = await self._session.look("Query", body)
        return [_commit(item) for item in answer.get("Items", ())]

    async def _commit_of(self, stream: str, version: int) -> Commit | None:
        """The commit that contains a version: among the newest, or by binary search."""
        newest = await self._commits(stream, limit=_COMMITS_SEARCHED)
        for commit in newest:
            if commit.first <= version:
                return commit if version <= commit.last else None
        if not newest:
            return None
        # A commit's number is at most its versions, since no commit is empty.
        low, high = 0, min(newest[-1].number, version)
        while low < high:
            middle = (low + high) // 2
            if (await self._at(stream, middle)).last < version:
                low = middle + 1
            else:
                high = middle
        return await self._at(stream, low)

    async def _at(self, stream: str, number: int) -> Commit:
        where = key(items.partition(stream), number)
        body = {"TableName": self._session.table, "ConsistentRead": True, "Key": where}
        return _commit((await self._session.look("GetItem", {**body, **_SHORT}))["Item"])

    async def _contains(self, stream: str, commit: Commit, events: Sequence[NewEvent]) -> bool:
        """Whether a commit consists of these exact events."""
        item = await self._get(key(items.partition(stream), commit.number))
        return _same(stream, item, events)

    async def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """Commit after commit; a start after 0 is searched for first."""
        begins = await self._commit_of(stream, start) if start > 0 else None
        if (start > 0 and begins is None) or limit == 0:
            if not await self._commits(stream, limit=1):
                raise StreamNotFound(stream)
            return
        body = self._query(stream, begins.number if begins else 0)
        left = limit
        empty = True
        async for page in self._session.pages("Query", {**body, "ScanIndexForward": not backwards}):
            for item in page:
                empty = False
                for event in _part(item, stream, start, backwards=backwards):
                    yield event
                    left = None if left is None else left - 1
                    if left == 0:
                        return
        if empty:
            raise StreamNotFound(stream)

    async def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """A scan: each stream in order, the streams in the order of DynamoDB's hash."""
        left = limit
        begin = None
        if after is not None and after != Position.NOW:
            pk, (number, _) = items.place_parts(after)
            # Read the commit again: it may contain more events after the position.
            begin = items.place(pk, number - 1)
        async for stream, item in self._session.scan(begin or after):
            for event in _events(item, stream):
                if left == 0:
                    return
                if begin is None or after is None or not _is_read(after, event.position):
                    yield event
                    left = None if left is None else left - 1

    def _query(self, stream: str, begin: int) -> dict[str, Any]:
        return {
            "TableName": self._session.table,
            "ConsistentRead": True,
            "KeyConditionExpression": "PK = :pk AND SK >= :begin",
            "ExpressionAttributeValues": {":pk": s(items.partition(stream)), ":begin": n(begin)},
        }

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """UpdateItem on the whole commit, since it is one item."""
        commit = await self._commit_of(stream, version)
        if commit is None:
            raise TamperingPrevented(f"no commit has version {version} of {stream!r}")
        where = key(items.partition(stream), commit.number)
        events = (await self._get(where))["events"]["L"]
        events[version - commit.first]["M"]["data"] = items.b(data)
        return await self._overwritten(where, "events", {"L": events})

    async def delete(self, stream: str, version: int) -> bool:
        """DeleteItem on the commit, with every event in it."""
        commit = await self._commit_of(stream, version)
        where = key(items.partition(stream), commit.number if commit else -1)
        return await self._deleted(where)


def _commit(item: Mapping[str, Any]) -> Commit:
    raw = bytes_of(item["ids"])
    ids = (UUID(bytes=raw[at : at + _ID_BYTES]) for at in range(0, len(raw), _ID_BYTES))
    return Commit(int_of(item["SK"]), int_of(item["last"]), tuple(ids))


def _events(item: Mapping[str, Any], stream: str) -> list[RecordedEvent]:
    number, last, at = int_of(item["SK"]), int_of(item["last"]), int_of(item["at"])
    members = item["events"]["L"]
    first, pk = last + 1 - len(members), items.STREAM + stream
    return [
        items.recorded(each["M"], stream, first + index, items.place(pk, number, index), at)
        for index, each in enumerate(members)
    ]


def _part(
    item: Mapping[str, Any], stream: str, start: int, *, backwards: bool
) -> list[RecordedEvent]:
    events = [event for event in _events(item, stream) if event.version >= start]
    return events[::-1] if backwards else events


def _same(stream: str, item: Mapping[str, Any], events: Sequence[NewEvent]) -> bool:
    """Whether a commit's item consists of these exact events."""
    written = _events(item, stream)
    return len(written) == len(events) and all(map(items.same, events, written))


def _is_read(after: Position, position: Position) -> bool:
    """Whether a position is in the commit of `after` and not after it."""
    return position[:-1] == after[:-1] and position[-1] <= after[-1]


def _item(stream: str, last: Commit, events: Sequence[NewEvent]) -> dict[str, Any]:
    return {
        **key(items.partition(stream), last.number + 1),
        "at": n(now_us()),
        "last": n(last.last + len(events)),
        "ids": b(b"".join(event.id.bytes for event in events)),
        "events": {"L": [{"M": items.payload(event)} for event in events]},
    }
