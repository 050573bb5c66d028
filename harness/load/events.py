"""Events whose ids and payloads a sequence number reproduces, and the stream each goes to."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from random import Random
from uuid import UUID, SafeUUID

from harness.domain.identity import id_base
from harness.domain.store import NewEvent
from harness.scenario.model import EventShape, Spread, Streams, Zipf

_TEMPLATES_MAX = 1024
_TEMPLATES_BYTES = 4 << 20
_FIELD_BYTES_MAX = 48
_TYPES = 1021
"""Prime, so that types and sizes don't repeat together."""

_new = object.__new__
_set_int, _set_is_safe = (vars(UUID)[slot].__set__ for slot in ("int", "is_safe"))
_set_id, _set_type, _set_data, _set_metadata = (
    vars(NewEvent)[slot].__set__ for slot in ("id", "type", "data", "metadata")
)
_UNKNOWN = SafeUUID.unknown


class EventFactory:
    """Makes the events of one worker process; `first` separates the processes' sequences."""

    def __init__(self, shape: EventShape, seed: str, *, first: int = 0) -> None:
        self.base = id_base(seed)
        self.next_sequence = first
        self._templates, self._types = _parts(shape.model_dump_json(), seed)
        self._template_count = len(self._templates)
        self._metadata = json.dumps({"correlationId": seed[-36:]}).encode()

    def new_events(self, count: int) -> Sequence[NewEvent]:
        """`count` events with consecutive sequence numbers."""
        sequence = self.next_sequence
        self.next_sequence = sequence + count
        if count == 1:
            return (self._at(sequence),)
        return [self._at(number) for number in range(sequence, sequence + count)]

    def data_of(self, sequence: int) -> bytes:
        """The payload of the event with that sequence number."""
        return self._templates[sequence % self._template_count] % sequence

    def _at(self, sequence: int) -> NewEvent:
        """`NewEvent(UUID(int=…), …)` through the slots: 0.4 µs instead of 1.1 on the hot path."""
        identity = _new(UUID)
        _set_int(identity, self.base + sequence)
        _set_is_safe(identity, _UNKNOWN)
        event = _new(NewEvent)
        _set_id(event, identity)
        _set_type(event, self._types[sequence % _TYPES])
        _set_data(event, self._templates[sequence % self._template_count] % sequence)
        _set_metadata(event, self._metadata)
        return event


@lru_cache(maxsize=2)
def _parts(shape_json: str, seed: str) -> tuple[Sequence[bytes], Sequence[str]]:
    """Templates of payloads, and types, both in the order of the sequence.

    A trial, the measurements of its ceiling and its verification all ask for the same ones, and
    making them costs as much as importing the lab.
    """
    shape = EventShape.model_validate_json(shape_json)
    rng = Random(f"{seed}/events")
    count = min(_TEMPLATES_MAX, max(16, _TEMPLATES_BYTES // _median(shape.size_bytes)))
    templates = tuple(_template(shape, rng) for _ in range(count))
    return templates, tuple(rng.choices(list(shape.types), list(shape.types.values()), k=_TYPES))


def _template(shape: EventShape, rng: Random) -> bytes:
    """A payload that lacks only its sequence number, which `%` puts in."""
    head = b'{"id":"%012x"' if shape.content == "json" else b"%012x"
    return head + _tail(shape, len(head % 0), rng).replace(b"%", b"%%")


def _tail(shape: EventShape, head_bytes: int, rng: Random) -> bytes:
    wanted = max(0, _draw_size(shape.size_bytes, rng) - head_bytes)
    return rng.randbytes(wanted) if shape.content == "random" else _json_tail(wanted, rng)


def _median(size: int | Spread) -> int:
    return size if isinstance(size, int) else size.median


def _draw_size(size: int | Spread, rng: Random) -> int:
    if isinstance(size, int):
        return size
    drawn = round(size.median * rng.lognormvariate(0.0, size.sigma))
    return min(max(drawn, size.min), size.max)


def _json_tail(wanted: int, rng: Random) -> bytes:
    """Fields like an order's, closed with `}`, exactly `wanted` bytes where there is room."""
    fields: list[str] = []
    room = wanted - 1
    while room >= _FIELD_BYTES_MAX:
        field = f',"{_word(rng, 6)}{len(fields)}":{_value(rng)}'
        fields.append(field)
        room -= len(field)
    name = ',"note":""'
    if room >= len(name):
        fields.append(name[:-1] + _word(rng, room - len(name)) + '"')
    return ("".join(fields) + "}").encode()


def _value(rng: Random) -> str:
    if rng.getrandbits(1):
        return str(1 + int(rng.random() * 999_999_999))
    return f'"{_word(rng, 4 + int(rng.random() * 20))}"'


_LETTERS = bytes(ord("a") + byte % 26 for byte in range(256))
"""The letter of each random byte; drawn one by one, letters take five times as long."""


def _word(rng: Random, length: int) -> str:
    return rng.randbytes(length).translate(_LETTERS).decode()


Chooser = Callable[[Random], str]


def chooser(streams: Streams, names: Sequence[str]) -> Chooser:
    """The function that picks a stream for each operation."""
    match streams.choice:
        case "uniform":
            return _uniform(names)
        case "latest":
            return _latest(names)
        case Zipf(zipf=exponent):
            return _zipf(names, exponent)


def _uniform(names: Sequence[str]) -> Chooser:
    count = len(names)
    return lambda rng: names[int(rng.random() * count)]


def _ranks(count: int, exponent: float) -> Callable[[Random], int]:
    """Ranks 0, 1, … with probability proportional to 1 / (rank + 1) ** exponent."""
    cumulated = list(accumulate((rank + 1) ** -exponent for rank in range(count)))
    total = cumulated[-1]
    return lambda rng: bisect_left(cumulated, rng.random() * total)


def _zipf(names: Sequence[str], exponent: float) -> Chooser:
    rank = _ranks(len(names), exponent)
    return lambda rng: names[rank(rng)]


def _latest(names: Sequence[str]) -> Chooser:
    """The newest stream changes with each choice; older ones are chosen less and less."""
    rank = _ranks(len(names), 1.0)
    newest = 0

    def choose(rng: Random) -> str:
        nonlocal newest
        newest += 1
        return names[(newest - rank(rng)) % len(names)]

    return choose
