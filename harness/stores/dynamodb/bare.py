"""The append's transaction through the driver alone, boto3 in threads or the lab's HTTP client."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from harness.domain.store import BareAppend, NewEvent
from harness.stores.dynamodb import items
from harness.stores.dynamodb.event_items import Heads


@asynccontextmanager
async def transacted(store: Heads, callers: int) -> AsyncIterator[Sequence[BareAppend]]:
    """The same transaction at the version that the caller knows, its units counted nowhere."""
    yield [_appending(store) for _ in range(callers)]


def _appending(store: Heads) -> BareAppend:
    call = store._session.client.call
    heads: defaultdict[str, int] = defaultdict(lambda: -1)

    async def append(stream: str, event: NewEvent) -> object:
        head, events = heads[stream], [event]
        body = {
            "TransactItems": store._writes(stream, head, events, ()),
            "ClientRequestToken": items.token(stream, head, events),
            "ReturnConsumedCapacity": "TOTAL",
        }
        answer = await call("TransactWriteItems", body)
        heads[stream] = head + 1
        return answer

    return append
