"""`eventstoredb:stream`: appends share one long-lived call, which tells versions as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.store import ExpectedVersion
from harness.stores.eventstoredb.appending import expectation
from harness.stores.eventstoredb.base import EventStoreDBBase
from harness.stores.eventstoredb.batching import Batcher, answered
from harness.stores.eventstoredb.session import Session


class Streamed(EventStoreDBBase):
    """No call is opened and ended for an append: one round trip is all that is left."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._batcher = Batcher(session.client, session.options.deadline_s)

    async def aclose(self) -> None:
        """End the call, then close the channel."""
        await self._batcher.aclose()
        await super().aclose()

    async def _written(self, name: str, proposed: Sequence[Any], expected: ExpectedVersion) -> int:
        expecting = expectation(expected)
        answer = await self._batcher.append(name, proposed, expecting)
        return answered(answer, self._session.client._connection.streams, name, expecting)
