"""`eventstoredb` and the tutorials' template: the plain client, one call an append."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID, uuid4

from harness.errors import OutcomeUnknown
from harness.store import ExpectedVersion, NewEvent, RecordedEvent
from harness.stores.eventstoredb.base import EventStoreDBBase, head_after
from harness.stores.eventstoredb.library import library

_ID_BYTES = 16


def expectation(expected: ExpectedVersion) -> Any:
    """In the client's words."""
    if isinstance(expected, int):
        return expected
    return getattr(library().stream_state, expected.name)


class Plain(EventStoreDBBase):
    """The client's own append: it opens and ends a BatchAppend call each time."""

    async def _written(self, name: str, proposed: Sequence[Any], expected: ExpectedVersion) -> int:
        append = library().once("append_to_stream")
        await append(
            self._session.client,
            name,
            current_version=expectation(expected),
            events=proposed,
            timeout=self._session.options.deadline_s,
        )
        told = head_after(expected, len(proposed))
        return await self._version_of(name, proposed[-1].id) if told is None else told

    async def _version_of(self, name: str, event_id: UUID) -> int:
        """The client tells a place in the log and no version: where none was expected, look.

        A look that fails is no append that was not sent.
        """
        try:
            async for event in self._session.stream(name, backwards=True):
                if event.id == event_id:
                    return int(event.stream_position)
        except library().any_error as error:
            raise OutcomeUnknown(f"acknowledged, but its version is not known: {error}") from error
        raise OutcomeUnknown("acknowledged, and not in the stream")


class Template(Plain):
    """As in the tutorials: each write draws fresh ids, so that a retry is written again.

    So that the lab knows its events again, their own ids travel before the metadata.
    """

    idempotency: ClassVar[Any] = "none"

    def _proposed(self, events: Sequence[NewEvent]) -> list[Any]:
        marked = [replace(one, id=uuid4(), metadata=one.id.bytes + one.metadata) for one in events]
        return super()._proposed(marked)

    def _recorded(self, event: Any, prefix_length: int) -> RecordedEvent:
        found = super()._recorded(event, prefix_length)
        own = UUID(bytes=found.metadata[:_ID_BYTES])
        return replace(found, id=own, metadata=found.metadata[_ID_BYTES:])
