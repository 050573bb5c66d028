"""`dynamodb:commit`: an item a commit, under dense commit numbers: one put writes an append."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.errors import AppendRefused, EventIdReused, WrongExpectedVersion
from harness.store import AppendResult, ExpectedVersion, NewEvent, StreamState
from harness.stores.dynamodb import items
from harness.stores.dynamodb.commit_reading import COMMITS_LOOKED_UP, Commit, CommitReading
from harness.stores.dynamodb.driver import Declined
from harness.stores.dynamodb.items import ITEM_BYTES_MAX, b, key, n, now_us
from harness.stores.dynamodb.session import CONDITION

_NOTHING = Commit(number=-1, last=-1, ids=())


class Commits(CommitReading):
    """Keyed by number, not by version: a stale put then always finds its place taken."""

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """A look at the newest commits and one conditional put; under NO_STREAM the put alone."""
        items.check_expected(expected)
        items.check(stream, events, events_max=None, bytes_max=ITEM_BYTES_MAX - items.KEY_BYTES_MAX)
        if expected is StreamState.NO_STREAM and await self._put_behind(stream, _NOTHING, events):
            return AppendResult(len(events) - 1, None)
        while True:
            newest = await self._newest(stream, expected)
            last = newest[0] if newest else _NOTHING
            original = await self._original(stream, events, newest, expected)
            if original is not None:
                return AppendResult(original, None)
            _refuse(stream, expected, last)
            if await self._put_behind(stream, last, events):
                return AppendResult(last.last + len(events), None)

    async def _newest(self, stream: str, expected: ExpectedVersion) -> list[Commit]:
        """What the append has to know of the stream, newest first."""
        exact = not isinstance(expected, StreamState)
        return await self.newest(stream, limit=1 if exact else COMMITS_LOOKED_UP)

    async def _original(
        self,
        stream: str,
        events: Sequence[NewEvent],
        newest: Sequence[Commit],
        expected: ExpectedVersion,
    ) -> int | None:
        """The last version of these very events if an earlier try has written them."""
        ids = {event.id for event in events}
        if not isinstance(expected, StreamState) and newest and newest[0].last > expected:
            first = await self.commit_of(stream, expected + 1)
            newest = [first] if first else []
        elif expected is StreamState.NO_STREAM:
            newest = await self.newest(stream, limit=1, oldest=True)
        for commit in newest:
            if ids.intersection(commit.ids):
                if await self.holds(stream, commit, events):
                    return commit.last
                raise EventIdReused(f"stream {stream!r}: an event id was written before")
        return None

    async def _put_behind(self, stream: str, last: Commit, events: Sequence[NewEvent]) -> bool:
        """Whether the commit was written, now or by an earlier try that seemed to fail."""
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
            there = error.reasons[0].get("Item") if error.reasons else None
            if not error.reasons or error.reasons[0].get("Code") != CONDITION:
                raise AppendRefused(str(error), reason=error.code) from error
            return there is not None and self.same(stream, there, events)
        return True


def _refuse(stream: str, expected: ExpectedVersion, last: Commit) -> None:
    """Raise if the stream is not as expected."""
    actual = None if last is _NOTHING else last.last
    match expected:
        case StreamState.ANY:
            holds = True
        case StreamState.EXISTS:
            holds = actual is not None
        case StreamState.NO_STREAM:
            holds = actual is None
        case version:
            holds = actual == version
    if not holds:
        raise WrongExpectedVersion(stream, expected, actual)


def _item(stream: str, last: Commit, events: Sequence[NewEvent]) -> dict[str, Any]:
    return {
        **key(items.partition(stream), last.number + 1),
        "at": n(now_us()),
        "last": n(last.last + len(events)),
        "ids": b(b"".join(event.id.bytes for event in events)),
        "events": {"L": [{"M": items.payload(event)} for event in events]},
    }
