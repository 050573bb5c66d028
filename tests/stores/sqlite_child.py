"""A process that appends to a SQLite store and prints what was acknowledged, line by line.

`python sqlite_child.py FOLDER NAMESPACE COUNT`; exact versions, reloaded after each conflict.
"""

# ruff: noqa: T201 - its lines are its answers

from __future__ import annotations

import asyncio
import sys
from uuid import uuid4

from harness.domain.errors import WrongExpectedVersion
from harness.domain.store import Endpoint, ExpectedVersion, NewEvent, StreamState
from harness.stores.sqlite import SqliteOptions, SqliteStore


async def main(folder: str, namespace: str, count: int) -> None:
    store = await SqliteStore.connect(Endpoint(folder, namespace), SqliteOptions())
    expected: ExpectedVersion = StreamState.NO_STREAM
    print("ready", flush=True)
    sys.stdin.readline()
    while count:
        event = NewEvent(uuid4(), "OrderPlaced", b"{}")
        try:
            expected = (await store.append("order-1", [event], expected=expected)).version
        except WrongExpectedVersion as conflict:
            expected = conflict.actual
        else:
            count -= 1
            print(event.id, expected, flush=True)
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
