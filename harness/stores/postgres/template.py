"""`postgres:template`: the design that tutorials teach, measured with its faults.

Not repaired beyond what the protocol needs to run it at all: an empty append is refused,
a missing stream is told apart from an empty read, driver errors are translated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.errors import WrongExpectedVersion
from harness.store import AppendResult, ExpectedVersion, Guarantees, NewEvent, Position, StreamState
from harness.stores.in_process import category_of
from harness.stores.postgres import rows
from harness.stores.postgres.driver import append_error, errors
from harness.stores.postgres.options import PostgresOptions
from harness.stores.postgres.template_reading import QUERY, TemplateReading

if TYPE_CHECKING:
    from harness.stores.postgres.pool import Link

_BEGIN_AND_COMMIT = 2
"""Round trips; or BEGIN and ROLLBACK."""


class Template(TemplateReading):
    """SELECT the version, SELECT it again, INSERT each event; poll once a second."""

    @classmethod
    def declares(cls, options: PostgresOptions) -> Guarantees:
        """What the design can keep: little of what it looks like it keeps."""
        return replace(
            super().declares(options),
            occ="none",
            occ_note="checks before it writes: two writers may both pass the check",
            gap_free_read=False,
            idempotency="none",
            append_only="by-convention",
            payload="json",
        )

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: ExpectedVersion
    ) -> AppendResult:
        """One transaction of two SELECTs and an INSERT an event."""
        rows.as_json(events)
        rows.expected_number(expected)
        try:
            self._session.round_trips += _BEGIN_AND_COMMIT
            async with self._session.pool.transaction() as link:
                return await self._append_on(link, stream, events, expected)
        except errors() as error:
            raise append_error(error) from error

    async def _append_on(
        self, link: Link, stream: str, events: Sequence[NewEvent], expected: ExpectedVersion
    ) -> AppendResult:
        await self._check(link, stream, expected)
        return await self._insert(link, stream, rows.as_json(events))

    async def _check(self, link: Link, stream: str, expected: ExpectedVersion) -> None:
        head = await self._value(link, "head", stream)
        match expected:
            case StreamState.ANY:
                return
            case StreamState.NO_STREAM:
                holds = head is None
            case StreamState.EXISTS:
                holds = head is not None
            case version:
                holds = head == version
        if not holds:
            raise WrongExpectedVersion(stream, expected, head)

    async def _insert(self, link: Link, stream: str, columns: rows.Columns) -> AppendResult:
        head = await self._value(link, "head", stream)
        version = -1 if head is None else head
        position = 0
        for id_, type_, data, metadata in zip(*columns, strict=True):
            version += 1
            event = (id_, stream, category_of(stream), type_, data, metadata, version)
            position = await self._value(link, "insert", *event)
        return AppendResult(version, Position((position,)))

    async def _value(self, link: Link, name: str, *arguments: Any) -> Any:
        limit_s = self._session.options.deadline_s
        self._session.round_trips += 1
        statement = await link.prepared(QUERY[name], limit_s)
        return await statement.fetchval(*arguments, timeout=limit_s)
