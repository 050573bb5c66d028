"""UmaDB's Append through gRPC alone, over the one channel that the lab has as well."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from harness.domain.store import BareAppend, NewEvent
from harness.stores.umadb.client import Client, none_after
from harness.stores.umadb.protocol import messages
from harness.stores.umadb.store import ByVersion
from harness.stores.umadb.tags import Tags, tagged


@asynccontextmanager
async def called(store: ByVersion, callers: int) -> AsyncIterator[Sequence[BareAppend]]:
    """The same messages under the same condition, at the version that the caller knows."""
    tags = await store._namespace.require()
    yield [_appending(store._client, tags) for _ in range(callers)]


def _appending(client: Client, tags: Tags) -> BareAppend:
    call, metadata, request_of = client._stub.Append, client._metadata, messages().AppendRequest
    versions: defaultdict[str, int] = defaultdict(int)

    async def append(stream: str, event: NewEvent) -> object:
        version = versions[stream]
        free = tags.of_version(stream, version) if version else tags.of_stream(stream)
        condition = none_after(None, [free])
        request = request_of(events=tagged(tags, stream, [event], version), condition=condition)
        answer = await call(request.SerializeToString(), metadata=metadata)
        versions[stream] = version + 1
        return answer

    return append
