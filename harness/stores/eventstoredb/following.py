"""Subscriptions: catch-up by position, persistent ones that the server keeps, categories."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

from harness.store import Position
from harness.stores.eventstoredb.answers import read_error
from harness.stores.eventstoredb.library import library
from harness.stores.eventstoredb.session import Session, each, raise_if_cancelled

_AGAIN_S = 0.1
_EVERYTHING = r"[\s\S]*"


async def follow(
    session: Session, after: Position | None, category: str | None
) -> AsyncIterator[Any]:
    """The client's events behind `after`, for ever. Raises `ReadFailed` where nobody comes back."""
    behind = await _place(session, after)
    lost_at: float | None = None
    while True:
        try:
            async for event in _subscribed(session, behind, category):
                lost_at = None
                if behind is None or event.commit_position > behind:
                    yield event
                    behind = event.commit_position
        except library().any_error as error:
            raise_if_cancelled()
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > session.options.deadline_s:
                raise read_error(error) from error
        await asyncio.sleep(_AGAIN_S)


async def _place(session: Session, after: Position | None) -> int | None:
    """A commit position; where new events only are asked for, that of the newest one now."""
    if after is None:
        return None
    if after != Position.NOW:
        return after[0]
    try:
        newest = library().once("get_commit_position")
        return int(await newest(session.client, timeout=session.options.deadline_s))
    except library().any_error as error:
        raise read_error(error) from error


async def _subscribed(
    session: Session, behind: int | None, category: str | None
) -> AsyncIterator[Any]:
    prefix = await session.prefix()
    if prefix is None:
        return
    if category is not None and session.options.categories == "links":
        response = await _links(session, f"$ce-{prefix}{category}")
    elif session.options.subscription == "persistent":
        async for event in _persistent(session, behind, _pattern(prefix, category)):
            yield event
        return
    else:
        response = await _catching_up(session, behind, _pattern(prefix, category))
    async for event in each(response):
        yield event


async def _catching_up(session: Session, behind: int | None, pattern: str) -> Any:
    """From the server's log, filtered there."""
    subscribe = library().once("subscribe_to_all")
    return await subscribe(
        session.client,
        commit_position=behind,
        filter_include=[pattern],
        filter_by_stream_name=True,
    )


async def _links(session: Session, stream: str) -> Any:
    """The links that the server's category projection wrote, resolved; from the first one on."""
    subscribe = library().once("subscribe_to_stream")
    return await subscribe(session.client, stream, resolve_links=True)


async def _persistent(session: Session, behind: int | None, pattern: str) -> AsyncIterator[Any]:
    """A group of the server's with one consumer: an event is acknowledged when the next is asked.

    At least once: what was handled and not yet acknowledged comes again.
    """
    lib, group = library(), f"eslab-{uuid4().hex}"
    create = lib.once("create_subscription_to_all")
    start = {} if behind is None else {"commit_position": behind}
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
    try:
        await delete(session.client, group, timeout=session.options.deadline_s)
    except library().any_error:
        return  # it goes with the server, or stays without a consumer


def _pattern(prefix: str, category: str | None) -> str:
    """A category is what stands before the first dash of a stream's name."""
    if category is None:
        return re.escape(prefix) + _EVERYTHING
    return re.escape(prefix + category) + rf"(-{_EVERYTHING})?"
