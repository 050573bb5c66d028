"""One client, and the part of the server that belongs to one namespace.

EventStoreDB has no schemas: a namespace is a prefix of stream names. A deleted stream that is
written again continues its old versions, so each `setup` takes a new prefix: the version of the
event that it appends to a stream with the namespace's name. What the namespace holds comes after
that event in the log, so reads begin there.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

from harness.domain import marks
from harness.domain.cancellation import raise_if_cancelled
from harness.domain.errors import AppendRefused, NotSent
from harness.domain.proxies import proxy_to
from harness.domain.store import Endpoint, NewEvent, StreamState
from harness.stores.eventstoredb.batch_append import (
    answered_alone,
    proposed_message,
    requests,
    version_of,
)
from harness.stores.eventstoredb.client import CONNECTING, library
from harness.stores.eventstoredb.declaration import EventStoreDBOptions

_RECONNECT_SOON = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 10_000),
)
"""By default gRPC waits up to two minutes between two attempts to connect.

The third is how long one attempt may take: a busy server is slow to greet a new connection.
"""
_OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)
"""By default all channels of a process to one server share a connection, and its 100 calls."""
LIMIT_MAX = (1 << 63) - 1
"""The largest limit of a read; 0 is none: a server answers it with an error, or never."""
_UNDER_WAY_MAX = 64
"""Appends of the plain design at once: a server takes 100 calls on a connection, all included."""
_READS_MAX = 24
"""Reads at once, as far as they end soon."""
_PATIENCE_S = 5.0
"""How long a read waits for others: tasks that hold reads open may wait for each other."""
_CONNECTED_WITHIN_S = 5.0
"""How long the first read of a new connection may take; `deadline_s` is for those that follow."""
_DRAIN_S = 0.005
"""gRPC's thread tells the loop of the calls that a closing channel has ended."""
_LOOK_S = 0.01
_READY_WITHIN_S = 2.0
_SEEN_WITHIN_S = 1.0
"""A server acknowledges before its index, and with it a reader, knows."""
_NO_SUCH_STREAM = "Actual version: -1"
"""Part of the server's error for deleting a stream that does not exist; one client raises it."""
_DELETIONS_AT_ONCE = 32


class Session:
    """The client and the namespace's prefix."""

    def __init__(self, client: Any, endpoint: Endpoint, options: EventStoreDBOptions) -> None:
        self.client, self.endpoint, self.options = client, endpoint, options
        self.closed = False
        self._prefix: str | None = None
        self._begins: int | None = None
        self._looking: asyncio.Task[None] | None = None
        self._reads = asyncio.Semaphore(_READS_MAX)
        self._readers = set[asyncio.Task[Any] | None]()
        self._turns = asyncio.Semaphore(_UNDER_WAY_MAX)

    @classmethod
    async def open(cls, endpoint: Endpoint, options: EventStoreDBOptions) -> Self:
        """Raises `StoreUnavailable` if no server answers, `NoServer` if access is denied."""
        client = library().client(uri=_uri(endpoint))
        client.grpc_options += (
            *_RECONNECT_SOON, _OWN_CONNECTION, _way_out(endpoint.address),
        )  # fmt: skip
        session = cls(client, endpoint, options)
        try:
            with CONNECTING:
                await client.connect()
                first_read_s = max(options.deadline_s, _CONNECTED_WITHIN_S)
                await session.newest(endpoint.namespace, deadline_s=first_read_s)
        except BaseException:
            await session.close()
            raise
        return session

    async def close(self) -> None:
        """End what is under way, then the connection; a subscription ends without an error."""
        self.closed = True
        if self._looking is not None:
            self._looking.cancel()
        if getattr(self.client, "_connection", None) is not None:
            await self.client.close()
            await asyncio.sleep(_DRAIN_S)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One of the calls that may be under way at once. Raises `NotSent` at the deadline."""
        try:
            async with asyncio.timeout(self.options.deadline_s):
                await self._turns.acquire()
        except TimeoutError:
            raise NotSent("the deadline passed while other appends were under way") from None
        try:
            yield
        finally:
            self._turns.release()

    async def make(self) -> None:
        """Take a new prefix, and wait until readers see it. Raises the client's own errors.

        A server that has just started refuses its first appends. One that comes right after a
        stream's deletion may stay hidden behind it; the next one does not.
        """
        began = time.monotonic()
        while True:
            try:
                taken = await self._append_made()
            except tuple(library().errors("ServiceUnavailable", "NodeIsNotLeader")):
                if time.monotonic() - began > _READY_WITHIN_S:
                    raise
                await asyncio.sleep(_LOOK_S)
                continue
            if await _seen(partial(self._shows, taken)):
                return
            if time.monotonic() - began > self.options.deadline_s:
                raise TimeoutError("its first event is acknowledged, and no reader sees it")

    async def remove(self) -> None:
        """Delete every stream of the namespace, 32 at a time, and the namespace's own last."""
        if await self.prefix() is not None:
            pattern = f"{re.escape(self.endpoint.namespace)}\\..*"
            first = [event async for event in self.stream(self.endpoint.namespace, limit=1)]
            how = _from(first[0].commit_position if first else None)
            streams = {event.stream_name async for event in self.all(pattern, **how)}
            gate = asyncio.Semaphore(_DELETIONS_AT_ONCE)
            await asyncio.gather(*(self._delete(stream, gate) for stream in streams))
            await self._delete(self.endpoint.namespace, gate)
            await _seen(self._is_gone)
        self._prefix = None

    async def namespaces(self) -> list[str]:
        """Those of labs; events of deleted ones stay in the log until the server scavenges."""
        found = {event.stream_name async for event in self.all(f"{marks.PREFIX}[^.]*")}
        return [name for name in sorted(found) if await self.generation(name) is not None]

    async def prefix(self) -> str | None:
        """The prefix of the namespace's streams; `None` before `make`."""
        if self._prefix is None:
            if self._looking is None:
                self._looking = asyncio.create_task(self._look())
                self._looking.add_done_callback(self._looked)
            await asyncio.shield(self._looking)
        return self._prefix

    async def _look(self) -> None:
        """One read for all who ask at the same time."""
        newest = await self.newest(self.endpoint.namespace)
        if newest is not None:
            self._take(newest)

    def _looked(self, looking: asyncio.Task[None]) -> None:
        self._looking = None
        if not looking.cancelled():
            looking.exception()  # those who asked see it, if any of them still waits

    def _take(self, made: Any) -> None:
        self._prefix = f"{self.endpoint.namespace}.{made.stream_position}."
        self._begins = made.commit_position

    def beginning(self) -> dict[str, int]:
        """Where reads of all streams begin, if the namespace's own place in the log is known."""
        return _from(self._begins)

    async def name(self, stream: str) -> str:
        """A stream's name on the server. Raises `AppendRefused` for an impossible name."""
        prefix = await self.prefix()
        if prefix is None:
            raise AppendRefused(f"no namespace {self.endpoint.namespace}: it was not set up")
        if not is_unicode(stream):
            raise AppendRefused("a stream's name must be valid Unicode")
        return prefix + stream

    async def generation(self, namespace: str = "") -> int | None:
        """The version of the newest event of a namespace's own stream."""
        newest = await self.newest(namespace or self.endpoint.namespace)
        return newest.stream_position if newest else None

    async def newest(self, name: str, **how: Any) -> Any | None:
        """A stream's last event; `None` if there is no stream."""
        newest = [event async for event in self.stream(name, backwards=True, limit=1, **how)]
        return newest[0] if newest else None

    async def stream(
        self, name: str, *, deadline_s: float | None = None, **how: Any
    ) -> AsyncIterator[Any]:
        """A stream's events; none if it does not exist. Raises the client's own errors."""
        read, lib = library().once("read_stream"), library()
        timeout = deadline_s or self.options.deadline_s
        try:
            async with self._place_to_read():
                response = await read(self.client, name, timeout=timeout, **how)
                async for event in each(response):
                    yield event
        except (lib.error("NotFound"), lib.error("StreamIsDeleted")):
            return

    async def all(self, pattern: str, **how: Any) -> AsyncIterator[Any]:
        """Events of the streams whose whole name matches. Raises the client's own errors."""
        read = library().once("read_all")
        async with self._place_to_read():
            response = await read(
                self.client,
                filter_include=[pattern],
                filter_by_stream_name=True,
                timeout=self.options.deadline_s,
                **how,
            )
            async for event in each(response):
                yield event

    @asynccontextmanager
    async def _place_to_read(self) -> AsyncIterator[None]:
        """One of the reads at once; a task that reads on while it reads needs no other."""
        reader = asyncio.current_task()
        held = reader not in self._readers and await _acquired_soon(self._reads)
        if held:
            self._readers.add(reader)
        try:
            yield
        finally:
            if held:
                self._reads.release()
                self._readers.discard(reader)

    async def _append_made(self) -> int:
        """The version in the server's answer."""
        name, deadline_s = self.endpoint.namespace, self.options.deadline_s
        made = [proposed_message(NewEvent(id=uuid4(), type="eslab.made", data=b"{}"))]
        make = requests(self.client, deadline_s)
        request = make(name, made, StreamState.ANY, str(uuid4()))
        response = await answered_alone(self.client, request, deadline_s)
        streams = self.client._connection.streams
        return version_of(response, streams, name, StreamState.ANY)

    async def _shows(self, taken: int) -> bool:
        """Whether a reader sees the event that this session has made; then its place is known."""
        newest = await self.newest(self.endpoint.namespace)
        if newest is None or newest.stream_position < taken:
            return False
        self._take(newest)
        return True

    async def _is_gone(self) -> bool:
        return await self.generation() is None

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
                if _NO_SUCH_STREAM not in str(error):
                    raise


async def _acquired_soon(places: asyncio.Semaphore) -> bool:
    """Whether a place was taken; without waiting where one is free."""
    if not places.locked():
        return await places.acquire()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await places.acquire()
    except TimeoutError:
        return False


async def _seen(holds: Callable[[], Awaitable[bool]]) -> bool:
    """Whether it comes to hold soon: the server's index may lag behind its answers."""
    began = time.monotonic()
    while not await holds():
        if time.monotonic() - began > _SEEN_WITHIN_S:
            return False
        await asyncio.sleep(_LOOK_S)
    return True


def is_unicode(text: str) -> bool:
    """Whether it can be sent; a lone surrogate cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from(position: int | None) -> dict[str, int]:
    return {} if position is None else {"commit_position": position}


async def each(response: Any) -> AsyncIterator[Any]:
    """The events of a response, which is stopped in any case.

    The client swallows a cancellation of the task that waits for events: a deadline would end a
    read as if there were no more. So the cancellation is raised again here.
    """
    try:
        async for event in response:
            yield event
        raise_if_cancelled()
    finally:
        await response.stop(**_at_once(response.stop))


def _at_once(stop: Any) -> dict[str, bool]:
    """Stop without waiting: `esdbclient` waits for the subscription's reader: this task."""
    waits = "wait_until_stopped" in inspect.signature(stop).parameters
    return {"wait_until_stopped": False} if waits else {}


def _way_out(address: str) -> tuple[str, str | int]:
    """gRPC's option for the proxy that it uses; without one it would take the environment's."""
    proxy = proxy_to(address)
    return ("grpc.http_proxy", proxy.url) if proxy else ("grpc.enable_http_proxy", 0)


def _uri(endpoint: Endpoint) -> str:
    """The address with the credentials, which the endpoint keeps apart from it."""
    if "username" not in endpoint.credentials:
        return endpoint.address
    parts = urlsplit(endpoint.address)
    secret = ":".join(
        quote(endpoint.credentials[name], safe="") for name in ("username", "password")
    )
    return urlunsplit(parts._replace(netloc=f"{secret}@{parts.netloc}"))
