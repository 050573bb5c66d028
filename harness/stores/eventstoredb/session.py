"""One client, and the part of the server that belongs to one namespace.

EventStoreDB has no schemas: a namespace is a prefix of stream names. A deleted stream goes on
counting where it ended when it is written again, so each `setup` takes a fresh prefix: the version
of the event that it appends to a stream called like the namespace.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator
from typing import Any, Self
from urllib.parse import quote, urlsplit, urlunsplit

from harness.errors import AppendRefused, NoServer, StoreUnavailable
from harness.store import Endpoint
from harness.stores.eventstoredb.answers import read_error, told
from harness.stores.eventstoredb.library import library
from harness.stores.eventstoredb.options import EventStoreDBOptions

_BACK_SOON = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
)
"""gRPC waits up to two minutes between two attempts to connect, where nothing else is said."""
_NOTHING_THERE = "Actual version: -1"
"""How the server refuses to delete a stream that is not there; one of the clients passes it on."""
_DELETIONS_AT_ONCE = 32


class Session:
    """The client, the namespace's prefix, and reading in the lab's errors."""

    def __init__(self, client: Any, endpoint: Endpoint, options: EventStoreDBOptions) -> None:
        self.client, self.endpoint, self.options = client, endpoint, options
        self._prefix: str | None = None

    @classmethod
    async def open(cls, endpoint: Endpoint, options: EventStoreDBOptions) -> Self:
        """Raises `StoreUnavailable` if nobody answers, `NoServer` if it does not let the lab in."""
        client = library().client(uri=_uri(endpoint))
        client.grpc_options += _BACK_SOON
        session = cls(client, endpoint, options)
        try:
            await client.connect()
            await session.generation()
        except library().error("AccessDeniedError") as error:
            await session.close()
            raise NoServer(f"eventstoredb: {told(error)}") from error
        except library().any_error as error:
            await session.close()
            raise StoreUnavailable(f"no connection to EventStoreDB: {told(error)}") from error
        return session

    async def close(self) -> None:
        """Close the channel."""
        if getattr(self.client, "_connection", None) is not None:
            await self.client.close()

    async def make(self) -> None:
        """Take a fresh prefix. Raises what the client raises."""
        lib = library()
        made = lib.new_event(type="eslab.made", data=b"{}")
        await lib.once("append_to_stream")(
            self.client,
            self.endpoint.namespace,
            current_version=lib.stream_state.ANY,
            events=[made],
            timeout=self.options.deadline_s,
        )
        self._prefix = None

    async def remove(self) -> None:
        """Delete every stream of the namespace, 32 at a time, and what says that it is there."""
        if await self.prefix() is not None:
            pattern = f"{re.escape(self.endpoint.namespace)}\\..*"
            streams = {event.stream_name async for event in self.all(pattern)}
            gate = asyncio.Semaphore(_DELETIONS_AT_ONCE)
            await asyncio.gather(*(self._delete(stream, gate) for stream in streams))
            await self._delete(self.endpoint.namespace, gate)
        self._prefix = None

    async def prefix(self) -> str | None:
        """What the names of the namespace's streams begin with; `None` before it is made."""
        if self._prefix is None:
            generation = await self.generation()
            if generation is not None:
                self._prefix = f"{self.endpoint.namespace}.{generation}."
        return self._prefix

    async def name(self, stream: str) -> str:
        """A stream's name on the server. Raises `AppendRefused` for one that it cannot have."""
        prefix = await self.prefix()
        if prefix is None:
            raise AppendRefused(f"no namespace {self.endpoint.namespace}: it was not set up")
        try:
            stream.encode()
        except UnicodeEncodeError:
            raise AppendRefused("a stream's name must be valid Unicode") from None
        return prefix + stream

    async def generation(self) -> int | None:
        """The version of the newest event that says that the namespace is there."""
        newest = [
            event.stream_position
            async for event in self.stream(self.endpoint.namespace, backwards=True, limit=1)
        ]
        return newest[0] if newest else None

    async def stream(self, name: str, **how: Any) -> AsyncIterator[Any]:
        """A stream's events; none where there is no such stream. Raises what the client raises."""
        read = library().once("read_stream")
        try:
            response = await read(self.client, name, timeout=self.options.deadline_s, **how)
            async for event in each(response):
                yield event
        except library().error("NotFound"):
            return

    async def all(self, pattern: str, **how: Any) -> AsyncIterator[Any]:
        """Events of the streams whose whole name matches. Raises what the client raises."""
        read = library().once("read_all")
        response = await read(
            self.client,
            filter_include=[pattern],
            filter_by_stream_name=True,
            timeout=self.options.deadline_s,
            **how,
        )
        async for event in each(response):
            yield event

    async def _delete(self, stream: str, gate: asyncio.Semaphore) -> None:
        lib = library()
        delete = lib.once("delete_stream")
        async with gate:
            try:
                await delete(
                    self.client,
                    stream,
                    current_version=lib.stream_state.ANY,
                    timeout=self.options.deadline_s,
                )
            except (lib.error("NotFound"), lib.error("StreamIsDeleted")):
                return
            except lib.any_error as error:
                if _NOTHING_THERE not in str(error):
                    raise read_error(error) from error


async def each(response: Any) -> AsyncIterator[Any]:
    """The events of a response, which is stopped however this ends.

    The client takes the cancellation of the task that waits for the end of the events: a deadline
    would cut a read short as if there were no more. So it is looked for here.
    """
    try:
        async for event in response:
            yield event
        raise_if_cancelled()
    finally:
        await response.stop(**_at_once(response.stop))


def _at_once(stop: Any) -> dict[str, bool]:
    """A persistent subscription of `esdbclient` would wait for its own reader, which waits here."""
    waits = "wait_until_stopped" in inspect.signature(stop).parameters
    return {"wait_until_stopped": False} if waits else {}


def raise_if_cancelled() -> None:
    """Raise the cancellation of this task that the client has taken for its own."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _uri(endpoint: Endpoint) -> str:
    """The address with the credentials that were set apart from it."""
    if "username" not in endpoint.credentials:
        return endpoint.address
    parts = urlsplit(endpoint.address)
    secret = ":".join(
        quote(endpoint.credentials[name], safe="") for name in ("username", "password")
    )
    return urlunsplit(parts._replace(netloc=f"{secret}@{parts.netloc}"))
