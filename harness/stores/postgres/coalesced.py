"""`postgres:coalesced`: one writer a process turns waiting appends into one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

from harness.errors import AppendRefused, OutcomeUnknown, StoreError, StoreUnavailable
from harness.store import AppendResult, ExpectedVersion, NewEvent
from harness.stores.postgres import rows
from harness.stores.postgres.order import QUERY
from harness.stores.postgres.session import Session
from harness.stores.postgres.store import PostgresStore
from harness.stores.postgres.variants import LOCK_LOG

GROUP_MAX = 256
"""Appends in one transaction."""


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """An append whose caller waits for `answer`."""

    stream: str
    expected: int
    columns: rows.Columns
    answer: asyncio.Future[rows.Row]


class Coalesced(PostgresStore):
    """Concurrent callers share one transaction under one lock for all appends."""

    lock = LOCK_LOG
    scripts = ("postgres_events", "postgres_write", "postgres_append_group")

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._waiting: list[Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Join the next group and wait for this append's own answer."""
        answer: asyncio.Future[rows.Row] = asyncio.get_running_loop().create_future()
        number = rows.expected_number(expected)
        self._waiting.append(Waiting(stream, number, self._columns(events), answer))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return self._result(await answer, stream, expected)

    def _call_for(
        self, stream: str, events: Sequence[NewEvent], expected: ExpectedVersion
    ) -> tuple[Any, ...]:
        """A group of one, for a transaction that somebody else has begun."""
        number = rows.expected_number(expected)
        return QUERY["append_group"], [stream], [number], [len(events)], *self._columns(events)

    async def aclose(self) -> None:
        """End the writer; whoever is in its group is told that the outcome is unknown."""
        if self._writer is not None:
            self._writer.cancel()
            with suppress(asyncio.CancelledError):
                await self._writer
        _refuse(self._waiting, StoreUnavailable("closed before the append was sent"))
        await super().aclose()

    async def _write(self) -> None:
        """Write one group after another until nobody waits."""
        try:
            await asyncio.sleep(0)  # callers of this turn of the loop come along
            while self._waiting:
                group = self._waiting[:GROUP_MAX]
                del self._waiting[:GROUP_MAX]
                await self._write_group(group)
        finally:
            self._writer = None

    async def _write_group(self, group: Sequence[Waiting]) -> None:
        try:
            answers = await self._call(group)
        except AppendRefused as error:
            await self._write_singly(group, error)
        except StoreError as error:
            _refuse(group, error)
        except BaseException:
            _refuse(group, OutcomeUnknown("the store was closed during the append"))
            raise
        else:
            for each, answer in zip(group, answers, strict=True):
                if not each.answer.done():
                    each.answer.set_result(answer)

    async def _write_singly(self, group: Sequence[Waiting], error: AppendRefused) -> None:
        """One member's data spoiled the group, which was rolled back: find out whose."""
        if len(group) == 1:
            _refuse(group, error)
            return
        for each in group:
            await self._write_group([each])

    async def _call(self, group: Sequence[Waiting]) -> list[rows.Row]:
        """One function call for the whole group. The server rolls all of it back or none."""
        columns = zip(*(each.columns for each in group), strict=True)
        return await self._session.write(
            QUERY["append_group"],
            [each.stream for each in group],
            [each.expected for each in group],
            [len(each.columns[0]) for each in group],
            *(list(chain.from_iterable(column)) for column in columns),
        )


def _refuse(group: Sequence[Waiting], error: StoreError) -> None:
    for each in group:
        if not each.answer.done():
            each.answer.set_exception(error)
