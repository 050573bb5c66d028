"""Bare loops: what a driver is compared with writes what the store's own append writes."""

from __future__ import annotations

import asyncio
import json

from ..subject import Subject
from .support import event, ids, read, versions


async def test_a_bare_loop_writes_each_callers_events_as_the_store_would(
    bare: tuple[Subject, object],
):
    subject, loop = bare
    named = [(f"order-{number}", [event() for _ in range(3)]) for number in range(2)]
    async with loop(subject.store, len(named)) as appends:
        assert len(appends) == len(named)

        async def call(append, stream, written):
            for one in written:
                await append(stream, one)

        calls = zip(appends, named, strict=True)
        await asyncio.gather(*(call(append, *offered) for append, offered in calls))
    for stream, written in named:
        found = await read(subject.store, stream)
        assert ids(found) == ids(written)
        assert versions(found) == [0, 1, 2]
        for one, was in zip(found, written, strict=True):
            assert (one.type, json.loads(one.data)) == (was.type, json.loads(was.data))
            assert json.loads(one.metadata) == json.loads(was.metadata)
