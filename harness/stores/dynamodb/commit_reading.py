"""Reading streams of commits: by commit number, found from a version where need be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from harness.errors import StreamNotFound
from harness.store import NewEvent, Position, RecordedEvent
from harness.stores.dynamodb import items
from harness.stores.dynamodb.beside import Beside
from harness.stores.dynamodb.items import bytes_of, int_of, key, n, s
from harness.stores.dynamodb.scanning import nothing_to_follow, scanned

COMMITS_LOOKED_UP = 16
"""The newest ones, for event ids, before an append that expects no exact version."""
_ID_BYTES = 16
_SHORT = {
    "ProjectionExpression": "SK, #last, ids",
    "ExpressionAttributeNames": {"#last": "last"},
}


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit without its payloads: its number, its last event's version, its events' ids."""

    number: int
    last: int
    ids: tuple[UUID, ...]

    @property
    def first(self) -> int:
        """The version of its first event."""
        return self.last + 1 - len(self.ids)


class CommitReading(Beside):
    """Everything of `dynamodb:commit` but its append."""

    async def newest(self, stream: str, *, limit: int, oldest: bool = False) -> list[Commit]:
        """The newest commits, newest first; or the oldest ones."""
        body = {**self._query(stream, 0), **_SHORT, "ScanIndexForward": oldest, "Limit": limit}
        answer = await self._session.look("Query", body)
        return [_commit(item) for item in answer.get("Items", ())]

    async def commit_of(self, stream: str, version: int) -> Commit | None:
        """The commit that holds a version: among the newest, or searched for by halves."""
        newest = await self.newest(stream, limit=COMMITS_LOOKED_UP)
        for commit in newest:
            if commit.first <= version:
                return commit if version <= commit.last else None
        if not newest:
            return None
        # A commit's number is never above its versions, since each commit holds some.
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

    async def holds(self, stream: str, commit: Commit, events: Sequence[NewEvent]) -> bool:
        """Whether a commit is made of these very events."""
        found = await self._get(key(items.partition(stream), commit.number))
        return self.same(stream, found, events)

    def same(self, stream: str, item: Mapping[str, Any], events: Sequence[NewEvent]) -> bool:
        """Whether a commit's item is made of these very events."""
        written = _events(item, stream)
        return len(written) == len(events) and all(map(items.same, events, written))

    async def read_stream(
        self, stream: str, *, start: int = 0, limit: int | None = None, backwards: bool = False
    ) -> AsyncIterator[RecordedEvent]:
        """Commit after commit; where it starts in the middle, the commit is searched for first."""
        begins = await self.commit_of(stream, start) if start > 0 else None
        if (start > 0 and begins is None) or limit == 0:
            if not await self.newest(stream, limit=1):
                raise StreamNotFound(stream)
            return
        body = self._query(stream, begins.number if begins else 0)
        left = limit
        found = False
        async for page in self._session.pages("Query", {**body, "ScanIndexForward": not backwards}):
            for item in page:
                found = True
                for event in _part(item, stream, start, backwards=backwards):
                    yield event
                    left = None if left is None else left - 1
                    if left == 0:
                        return
        if not found:
            raise StreamNotFound(stream)

    async def read_all(
        self, *, after: Position | None = None, limit: int | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """A scan: each stream in its order, the streams in that of DynamoDB's hash."""
        left = limit
        begin = None
        if after is not None and after != Position.NOW:
            pk, (number, _) = items.place_parts(after)
            # The commit itself again: more of its events may stand behind the position.
            begin = items.place(pk, number - 1)
        async for stream, item in scanned(self._session, begin or after):
            for event in _events(item, stream):
                if left == 0:
                    return
                if begin is None or after is None or not _is_behind(after, event.position):
                    yield event
                    left = None if left is None else left - 1

    def subscribe(
        self,
        *,
        after: Position | None = None,  # noqa: ARG002
        category: str | None = None,  # noqa: ARG002
    ) -> AsyncIterator[RecordedEvent]:
        """Raises `UnsupportedByStore`: new events may land anywhere in a scan."""
        raise nothing_to_follow()

    def _query(self, stream: str, begin: int) -> dict[str, Any]:
        return {
            "TableName": self._session.table,
            "ConsistentRead": True,
            "KeyConditionExpression": "PK = :pk AND SK >= :begin",
            "ExpressionAttributeValues": {":pk": s(items.partition(stream)), ":begin": n(begin)},
        }

    async def overwrite(self, stream: str, version: int, data: bytes) -> bool:
        """Try UpdateItem past the adapter: on the whole commit, since it is one item."""
        commit = await self.commit_of(stream, version)
        if commit is None:
            return False
        where = key(items.partition(stream), commit.number)
        events = (await self._get(where))["events"]["L"]
        events[version - commit.first]["M"]["data"] = items.b(data)
        return await self._overwritten(where, "events", {"L": events})

    async def delete(self, stream: str, version: int) -> bool:
        """Try DeleteItem past the adapter: the commit goes, with every event in it."""
        commit = await self.commit_of(stream, version)
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


def _is_behind(after: Position, position: Position) -> bool:
    """Whether a position stands in the commit of `after` and not behind it."""
    return position[:-1] == after[:-1] and position[-1] <= after[-1]
