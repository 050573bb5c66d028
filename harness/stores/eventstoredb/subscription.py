"""Subscriptions: catch-up by position, persistent ones that the server keeps, categories."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

from harness.domain.cancellation import raise_if_cancelled
from harness.domain.errors import ReadFailed, Unsuitable
from harness.domain.store import Position
from harness.stores.eventstoredb.client import READING, library
from harness.stores.eventstoredb.declaration import has_projections
from harness.stores.eventstoredb.session import Session, each, is_unicode

_RETRY_S = 0.1
_EVERYTHING = r"[\s\S]*"


async def follow(
    session: Session, after: Position | None, category: str | None
) -> AsyncIterator[Any]:
    """Events after `after`, until the session is closed.

    Raises `ReadFailed` if the server stays away, `Unsuitable` if a category cannot come.
    """
    if category is not None:
        await _require_category(session, category)
    last = await _start_of(session, after)
    lost_at: float | None = None
    while not session.closed:
        try:
            with READING:
                async for event in _subscribed(session, last, category):
                    lost_at = None
                    if last is None or event.commit_position > last:
                        yield event
                        last = event.commit_position
        except ReadFailed:
            raise_if_cancelled()
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > session.options.deadline_s and not session.closed:
                raise
        await asyncio.sleep(_RETRY_S)


async def _require_category(session: Session, category: str) -> None:
    if not is_unicode(category):
        raise ReadFailed("a category's name must be valid Unicode")
    if session.options.categories == "links" and await has_projections(session.endpoint) is False:
        raise Unsuitable(
            "projections are off: no link of a category comes; start the server with"
            " RUN_PROJECTIONS=System and START_STANDARD_PROJECTIONS=true, or take categories=filter"
        )


async def _start_of(session: Session, after: Position | None) -> int | None:
    """A commit position; for `Position.NOW` that of the newest event of all, the server's too."""
    if after is None:
        return None
    if after != Position.NOW:
        return after[0]
    newest = library().once("get_commit_position")
    with READING:
        deadline_s = session.options.deadline_s
        return int(await newest(session.client, filter_exclude=(), timeout=deadline_s))


async def _subscribed(
    session: Session, last: int | None, category: str | None
) -> AsyncIterator[Any]:
    prefix = await session.prefix()
    if prefix is None:
        return
    if category is not None and session.options.categories == "links":
        response = await links(session, f"$ce-{prefix}{category}", resolve=True)
    elif session.options.subscription == "persistent":
        async for event in _persistent(session, last, _pattern(prefix, category)):
            yield event
        return
    else:
        response = await _catching_up(session, last, _pattern(prefix, category))
    async for event in each(response):
        yield event


async def _catching_up(session: Session, last: int | None, pattern: str) -> Any:
    """Events from the server's log, filtered by the server."""
    subscribe = library().once("subscribe_to_all")
    start = session.beginning() if last is None else {"commit_position": last}
    return await subscribe(
        session.client, filter_include=[pattern], filter_by_stream_name=True, **start
    )


async def links(session: Session, stream: str, *, resolve: bool) -> Any:
    """The links that the server's category projection wrote, or their events, from the first on."""
    subscribe = library().once("subscribe_to_stream")
    return await subscribe(session.client, stream, resolve_links=resolve)


async def _persistent(session: Session, last: int | None, pattern: str) -> AsyncIterator[Any]:
    """A subscription that the server keeps: an event is acknowledged when the next is requested.

    Delivery is at least once: an event that is handled and not yet acknowledged comes again.
    """
    lib, group = library(), f"eslab-{uuid4().hex}"
    create = lib.once("create_subscription_to_all")
    start = session.beginning() if last is None else {"commit_position": last}
    how = {"filter_include": [pattern], "filter_by_stream_name": True}
    await create(session.client, group, **start, **how)
    try:
        subscription = await lib.once("read_subscription_to_all")(session.client, group)
        async for event in each(subscription):
            yield event
            await subscription.ack(event)
    finally:
        await _forget(session, group)


async def _forget(session: Session, group: str) -> None:
    delete = library().once("delete_subscription")
    if session.closed:
        return
    try:
        with READING:
            await delete(session.client, group, timeout=session.options.deadline_s)
    except ReadFailed:
        return  # the group ends with the server, or stays without a consumer


def _pattern(prefix: str, category: str | None) -> str:
    """The pattern of the category's streams; a category is the name before the first dash."""
    if category is None:
        return re.escape(prefix) + _EVERYTHING
    return re.escape(prefix + category) + rf"(-{_EVERYTHING})?"
