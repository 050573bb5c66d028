"""The part of a log that belongs to one namespace, and what is known of its streams' heads.

UmaDB has neither schemas nor deletion. A namespace is a mark of its own in the tags, and an event
begins each of its lives and another ends it; what was written in between stays in the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from uuid import uuid4

from harness.domain.errors import AppendRefused
from harness.stores.umadb.client import Client, query
from harness.stores.umadb.tags import Tags

_EVERY = "eslab"
"""The tag of the events that begin and end namespaces."""
_MADE, _REMOVED = "eslab.made", "eslab.removed"


class Namespace:
    """A namespace by its name, and the tags of its present life. Raises gRPC's errors."""

    def __init__(self, client: Client, name: str) -> None:
        self._client, self._name = client, name
        self._tags: Tags | None = None

    async def make(self) -> None:
        """Begin a new life."""
        self._tags = Tags(await self._say(_MADE))

    async def remove(self) -> None:
        """End the present one."""
        if await self.tags() is not None:
            await self._say(_REMOVED)
        self._tags = None

    async def tags(self) -> Tags | None:
        """Those of its present life; `None` before `make`."""
        if self._tags is None:
            of_name = query([f"{_EVERY}:{self._name}"])
            said = await self._client.read_one(query=of_name, backwards=True)
            if said and said.event.event_type == _MADE:
                self._tags = Tags(said.position)
        return self._tags

    async def require(self) -> Tags:
        """Raises `AppendRefused` where it was not set up."""
        tags = await self.tags()
        if tags is None:
            raise AppendRefused(f"no namespace {self._name}: it was not set up")
        return tags

    async def names(self) -> list[str]:
        """The namespaces of all labs that are not removed."""
        alive: dict[str, bool] = {}
        async for said in self._client.read(query=query([_EVERY])):
            alive[said.event.data.decode()] = said.event.event_type == _MADE
        return sorted(name for name, there in alive.items() if there)

    async def _say(self, what: str) -> int:
        event = {
            "event_type": what,
            "tags": [_EVERY, f"{_EVERY}:{self._name}"],
            "data": self._name.encode(),
            "uuid": str(uuid4()),
        }
        return await self._client.append([event], None)


HEADS_MAX = 100_000
"""Streams that one connection remembers; of more, those that it has known longest are forgotten."""


class Head(NamedTuple):
    """A stream's last event, as it was when it was seen: streams only grow."""

    version: int
    position: int
    id: int
    """The event's, as a number: text of it would be made for every append."""


@dataclass(frozen=True, slots=True)
class Heads:
    """The highest head that a connection saw of each stream: it spares most appends a look."""

    seen: dict[str, Head]

    def get(self, stream: str) -> Head | None:
        return self.seen.get(stream)

    def note(self, stream: str, head: Head) -> Head:
        """Remember it unless a higher one is known; the higher one."""
        known = self.seen.pop(stream, head)
        highest = known if known.version > head.version else head
        if len(self.seen) >= HEADS_MAX:
            del self.seen[next(iter(self.seen))]
        self.seen[stream] = highest
        return highest
