"""Streams, versions and metadata in UmaDB's events, which have tags, data and strings alone.

An event has the tag of its stream, `s:<generation>:<stream>`; where versions are tags, it has
`v:<generation>:<stream>:<version>` too, and else a string `version`. The generation tells one
namespace from another, and from its earlier life: UmaDB removes nothing.

A tagged event has the tag `b:<generation>`, a tag `t:<generation>:<tag>` for each of its own, and
`i:<generation>:<id>` where nothing else of it is in the condition by which a retry is recognised.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from harness.domain.boundaries import TAGGED, TaggedEvent
from harness.domain.store import NewEvent, Position, RecordedEvent
from harness.stores.umadb.protocol import Fields

_VERSION, _AT, _TEXT, _BASE64 = "version", "recorded_at", "metadata", "metadata.base64"
_CHARACTERS_MAX = 16_383
"""Of one string: the server takes 65,535 bytes, and a character may need four."""
_PART = "+"
"""Before the number of a part in its key: no two strings of an event may have the same key."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of one generation of a namespace."""

    generation: int
    """The position of the event that began it."""

    def of_stream(self, stream: str) -> str:
        return f"s:{self.generation}:{stream}"

    def of_version(self, stream: str, version: int) -> str:
        return f"v:{self.generation}:{stream}:{version}"

    @property
    def of_boundaries(self) -> str:
        """Of all tagged events."""
        return f"b:{self.generation}"

    def of_tag(self, tag: str) -> str:
        return f"t:{self.generation}:{tag}"

    def of_id(self, id_: UUID) -> str:
        return f"i:{self.generation}:{id_}"

    def own(self, sequenced: Any) -> frozenset[str]:
        """The tags that a tagged event was given."""
        prefix = self.of_tag("")
        found = (tag for tag in sequenced.event.tags if tag.startswith(prefix))
        return frozenset(tag.removeprefix(prefix) for tag in found)

    def recorded(self, sequenced: Any) -> RecordedEvent | None:
        """The event in the lab's terms; `None` for one that is not of this generation."""
        event = sequenced.event
        prefix = f"s:{self.generation}:"
        tags = event.tags
        tagged = bool(tags) and tags[0] == self.of_boundaries
        if not tagged and not (tags and tags[0].startswith(prefix)):
            return None
        strings = _strings(event.metadata)
        if tagged:
            stream, version = TAGGED, sequenced.position
        else:
            stream = tags[0][len(prefix) :]
            version = tags[1].rpartition(":")[2] if len(tags) > 1 else strings[_VERSION]
        return RecordedEvent(
            id=UUID(event.uuid),
            stream=stream,
            version=int(version),
            position=Position((sequenced.position,)),
            type=event.event_type,
            data=event.data,
            metadata=_metadata(strings),
            recorded_at=_EPOCH + timedelta(microseconds=int(strings[_AT])),
        )


def tagged(tags: Tags, stream: str, events: Sequence[NewEvent], first: int) -> list[Fields]:
    """Events that carry their version, from `first` on, as a second tag."""
    own = tags.of_stream(stream)
    at = _now()
    return [
        _message(event, [own, tags.of_version(stream, version)], [at])
        for version, event in enumerate(events, first)
    ]


def numbered(tags: Tags, stream: str, events: Sequence[NewEvent], first: int) -> list[Fields]:
    """Events that carry their version, from `first` on, as a string beside the data."""
    own = [tags.of_stream(stream)]
    at = _now()
    return [
        _message(event, own, [at, {"key": _VERSION, "value": str(version)}])
        for version, event in enumerate(events, first)
    ]


def for_boundaries(
    tags: Tags, events: Sequence[TaggedEvent], named: Collection[UUID]
) -> list[Fields]:
    """Tagged events; those with an id in `named` have it as a tag."""
    at = _now()
    return [
        _message(
            event,
            [
                tags.of_boundaries,
                *(tags.of_tag(tag) for tag in sorted(set(event.tags))),
                *([tags.of_id(event.id)] if event.id in named else []),
            ],
            [at],
        )
        for event in events
    ]


def _message(event: NewEvent, tags: list[str], entries: list[Fields]) -> Fields:
    return {
        "event_type": event.type,
        "tags": tags,
        "data": event.data,
        "uuid": str(event.id),
        "metadata": [*entries, *_entries(event.metadata)],
    }


def _now() -> Fields:
    """UmaDB records no time: an event has the time at which its client sent it."""
    return {"key": _AT, "value": str(time.time_ns() // 1_000)}


def _entries(metadata: bytes) -> Iterator[Fields]:
    """As text where the bytes are text, so that others can read it."""
    if not metadata:
        return
    try:
        key, text = _TEXT, metadata.decode()
    except UnicodeDecodeError:
        key, text = _BASE64, base64.b64encode(metadata).decode()
    for part, begin in enumerate(range(0, len(text), _CHARACTERS_MAX)):
        value = text[begin : begin + _CHARACTERS_MAX]
        yield {"key": f"{key}{_PART}{part}" if part else key, "value": value}


def _strings(entries: Any) -> dict[str, str]:
    """The strings by their keys, the parts of one joined by their numbers.

    UmaDB's own client sends them in any order.
    """
    found: dict[str, str] = {}
    parts: list[tuple[int, str, str]] = []
    for entry in entries:
        key, part, number = entry.key.partition(_PART)
        if part:
            parts.append((int(number), key, entry.value))
        else:
            found[key] = entry.value
    for _, key, value in sorted(parts):
        found[key] += value
    return found


def _metadata(strings: dict[str, str]) -> bytes:
    if _BASE64 in strings:
        return base64.b64decode(strings[_BASE64])
    return strings.get(_TEXT, "").encode()
