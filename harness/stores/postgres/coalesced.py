"""`postgres:coalesced`: one writer a process turns waiting appends into one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from harness.domain.cancellation import raise_if_cancelled
from harness.domain.errors import AppendRefused, StoreError
from harness.domain.expected_version import code_of
from harness.domain.store import AppendResult, ExpectedVersion, NewEvent
from harness.stores._shared.group_commit import GroupCommit, WaitingAppend
from harness.stores.postgres import rows
from harness.stores.postgres.pool import Session
from harness.stores.postgres.rows import QUERY
from harness.stores.postgres.store import LOCK_LOG, PostgresStore

GROUP_MAX = 256
"""Appends in one transaction."""


class Waiting(WaitingAppend[rows.Row]):
    """An append of a group: its row of the answer is `answer`."""

    __slots__ = ("columns", "expected", "stream")

    def __init__(self, stream: str, expected: int, columns: rows.Columns) -> None:
        super().__init__()
        self.stream, self.expected, self.columns = stream, expected, columns


class Coalesced(PostgresStore):
    """Concurrent callers share one transaction under one lock for all appends."""

    lock = LOCK_LOG
    scripts = ("events", "write", "append_group")

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._commits = GroupCommit(self._write, lambda waiting: min(len(waiting), GROUP_MAX))

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """Join the next group and wait for this append's own answer."""
        waiting = Waiting(stream, code_of(expected), self._columns(events))
        self._commits.add(waiting)
        return self._result(await waiting.answer, stream, expected)

    def _call_for(
        self, stream: str, events: Sequence[NewEvent], expected: ExpectedVersion
    ) -> tuple[Any, ...]:
        """Append a group of one, in a transaction that the caller has begun."""
        number = code_of(expected)
        return QUERY["append_group"], [stream], [number], [len(events)], *self._columns(events)

    async def aclose(self) -> None:
        """The outcome of a group that is being written becomes unknown."""
        await self._commits.aclose()
        await super().aclose()

    async def _write(self, group: Sequence[Waiting]) -> None:
        """One call for all; one per member if one member's data made the server roll back all."""
        try:
            answers = await self._call(group)
        except AppendRefused:
            if len(group) == 1:
                raise
            for each in group:
                await self._write_alone(each)
        else:
            for each, answer in zip(group, answers, strict=True):
                each.resolve(answer)

    async def _write_alone(self, waiting: Waiting) -> None:
        try:
            await self._write([waiting])
        except StoreError as error:
            waiting.refuse(error)
            raise_if_cancelled()

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
