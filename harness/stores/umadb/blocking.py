"""UmaDB's own client, which blocks and knows no deadline, in threads of a bounded number.

It appends to streams. All else, and appends to boundaries, are the other designs' calls.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from harness.domain.costs import ROUND_TRIPS
from harness.domain.errors import (
    AppendRefused,
    BatchTooLarge,
    EventTooLarge,
    NoServer,
    OutcomeUnknown,
    StoreError,
    StoreUnavailable,
)
from harness.domain.proxies import proxy_to
from harness.domain.store import Endpoint
from harness.stores._shared.drivers import lazy
from harness.stores.umadb.client import LOOKING_BACK, Client, Conflict
from harness.stores.umadb.declaration import UmaOptions
from harness.stores.umadb.protocol import Fields
from harness.stores.umadb.store import ByVersion, Sending

THREADS = 32
"""Appends that one connection sends at once; more wait for a thread."""

_SECURE = "grpcs"
_CLOSED = "the connection was closed"
_NOT_CONNECTED = "tcp connect error"
_TOO_LARGE = "past the valid range"
_UNREADABLE = "h2 protocol error"
"""The client takes no refusal over some 10 kB, and a longer one ends its connection."""


class Threads:
    """Calls that nothing can cut short, each in a thread to itself. Used by one event loop."""

    def __init__(self, count: int) -> None:
        self._count, self._started, self._held = count, 0, 0
        self._free = asyncio.Semaphore(count)
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = (
            SimpleQueue()
        )
        self._open: set[asyncio.Future[Any]] = set()
        self._ended: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._told, self._closed = False, False

    async def run(self, call: Callable[[], int], sending: Sending) -> int:
        """Its result or what it raises. A call whose caller has gone keeps its thread to its end.

        Raises `StoreUnavailable` at once where all threads are kept so.
        """
        if self._closed:
            raise StoreUnavailable(f"nothing was sent: {_CLOSED}")
        if self._held >= self._count:
            raise StoreUnavailable(
                f"nothing was sent: {self._count} appends without an answer hold all threads"
            )
        await self._free.acquire()
        sending.under_way = True
        answer = self._loop.create_future()
        self._open.add(answer)
        if self._started < min(self._count, len(self._open) + self._held):
            self._started += 1
            # Nothing ends a call: the process does not wait for its thread.
            Thread(target=self._serve, name="umadb", daemon=True).start()
        self._calls.put((call, answer))
        try:
            return int(await answer)
        except asyncio.CancelledError:
            if answer.cancelled():
                self._held += 1
            raise
        finally:
            self._open.discard(answer)

    def close(self) -> None:
        """What is under way becomes unknown. Each thread ends with its call."""
        self._closed = True
        for answer in self._open:
            if not answer.done():
                answer.set_exception(OutcomeUnknown(_CLOSED))
        for _ in range(self._started):
            self._calls.put(None)

    def _serve(self) -> None:
        while (asked := self._calls.get()) is not None:
            call, answer = asked
            result, raised = None, None
            try:
                result = call()
            except BaseException as error:  # its caller raises it
                raised = error
            self._ended.append((answer, result, raised))
            if not self._told:  # one wake-up serves all that end until it comes
                self._told = True
                try:
                    self._loop.call_soon_threadsafe(self._hand_over)
                except RuntimeError:
                    return  # the loop is closed

    def _hand_over(self) -> None:
        self._told = False
        while self._ended:
            answer, result, raised = self._ended.popleft()
            self._free.release()
            if answer.cancelled():
                self._held -= 1
            elif not answer.done():
                if raised is None:
                    answer.set_result(result)
                else:
                    answer.set_exception(raised)


class Blocking(ByVersion):
    """The package's own client, in threads: an append whose time is over goes on holding one."""

    def __init__(self, client: Client, endpoint: Endpoint, options: UmaOptions) -> None:
        super().__init__(client, endpoint, options)
        self._package = _package()
        self._blocking = _connected(self._package, endpoint)
        self._threads = Threads(THREADS)

    @classmethod
    async def connect(cls, endpoint: Endpoint, options: UmaOptions) -> Self:
        """As the others; raises `NoServer` where the way leads through a proxy, too."""
        if proxy_to(endpoint.address):
            raise NoServer("umadb:blocking: the package's client cannot go through a proxy")
        return await super().connect(endpoint, options)

    async def aclose(self) -> None:
        self._threads.close()
        await super().aclose()

    async def _put(self, events: Sequence[Fields], condition: Fields, sending: Sending) -> int:
        kinds = self._package
        asked = [
            kinds.QueryItem(tags=i["tags"]) for i in condition["fail_if_events_match"]["items"]
        ]
        unless = kinds.AppendCondition(kinds.Query(asked), condition["after"])
        made = [_event(kinds, fields) for fields in events]
        self._client.costs[ROUND_TRIPS] += 1
        try:
            return await self._threads.run(lambda: self._blocking.append(made, unless), sending)
        except kinds.IntegrityError as error:
            sending.under_way = False
            raise Conflict from error
        except StoreError:
            raise
        except Exception as error:
            if _UNREADABLE in str(error):
                return await self._found(events, condition, sending)
            raise _meaning(error, len(events)) from error

    async def _found(self, events: Sequence[Fields], condition: Fields, sending: Sending) -> int:
        """Whose event it is that the condition excludes: the append's own, or one before it."""
        after = condition["after"]
        how = {"query": condition["fail_if_events_match"], "limit": 1}
        with LOOKING_BACK:
            found, _ = await self._client.read_whole(start=after + 1 if after else None, **how)
        if not found:
            raise OutcomeUnknown("UmaDB: the client could not read the answer")
        if found[0].event.uuid != events[0]["uuid"]:
            sending.under_way = False
            raise Conflict
        return int(found[0].position) + len(events) - 1


def _package() -> Any:
    """UmaDB's package, which would take SIGINT for itself when it is imported."""
    chosen = signal.getsignal(signal.SIGINT)
    package = lazy("umadb", extra="umadb")
    try:
        package.Client  # noqa: B018 - what loads it
    finally:
        if signal.getsignal(signal.SIGINT) is not chosen:
            signal.signal(signal.SIGINT, chosen)
    return package


def _connected(package: Any, endpoint: Endpoint) -> Any:
    parts = urlsplit(endpoint.address)
    secure = parts.scheme == _SECURE
    authority = parse_qs(parts.query).get("ca", [""])[0]
    return package.Client(
        f"{'https' if secure else 'http'}://{parts.netloc}",
        ca_path=authority or None,
        api_key=endpoint.credentials.get("api_key"),
    )


def _event(kinds: Any, fields: Fields) -> Any:
    return kinds.Event(
        fields["event_type"],
        fields["data"],
        tags=fields["tags"],
        uuid=UUID(fields["uuid"]),
        metadata={entry["key"]: entry["value"] for entry in fields["metadata"]},
    )


def _meaning(error: Exception, events: int) -> Exception:
    text = str(error)
    if isinstance(error, ValueError | PermissionError):
        return AppendRefused(text, reason=type(error).__name__)
    if _TOO_LARGE in text:
        return (EventTooLarge if events == 1 else BatchTooLarge)(text)
    if _NOT_CONNECTED in text:
        return StoreUnavailable(f"no connection to UmaDB: {text}")
    return OutcomeUnknown(f"UmaDB: {type(error).__name__}: {text}")
