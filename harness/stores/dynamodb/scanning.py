"""A scan of the whole table as the only global reading of designs without a global order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from harness.errors import UnsupportedByStore
from harness.store import Position
from harness.stores.dynamodb import items
from harness.stores.dynamodb.session import Session


async def scanned(
    session: Session, after: Position | None
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """The streams' items behind a position, with their streams' names.

    Within a stream they come sorted; a stream that is new may come anywhere, so that a position
    resumes this scan and says nothing of what was written since.
    """
    if after == Position.NOW:
        return
    body: dict[str, Any] = {"TableName": session.table, "ConsistentRead": True}
    if after is not None:
        pk, (sk, *_) = items.place_parts(after)
        body["ExclusiveStartKey"] = items.key(pk, sk)
    async for page in session.pages("Scan", body):
        for item in page:
            if item["PK"]["S"].startswith(items.STREAM):
                yield item["PK"]["S"].removeprefix(items.STREAM), item


def nothing_to_follow() -> UnsupportedByStore:
    """What a subscription to such a design is told."""
    return UnsupportedByStore("there is no global order to follow; dynamodb:sequenced has one")
