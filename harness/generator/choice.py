"""Which stream an operation goes to: uniform, Zipf with a real exponent, or the latest."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random

from harness.scenario.types import Streams

Chooser = Callable[[Random], str]


def stream_names(streams: Streams) -> list[str]:
    """`<category>-0`, `<category>-1`, …"""
    return [f"{streams.category}-{number}" for number in range(streams.count)]


def chooser(streams: Streams, names: Sequence[str]) -> Chooser:
    """The function that picks a stream for each operation."""
    match streams.choice.kind:
        case "uniform":
            return _uniform(names)
        case "zipf":
            return _zipf(names, streams.choice.exponent)
        case "latest":
            return _latest(names)


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
    """The newest stream moves on by one with each choice; older ones are chosen ever less."""
    rank = _ranks(len(names), 1.0)
    newest = 0

    def choose(rng: Random) -> str:
        nonlocal newest
        newest += 1
        return names[(newest - rank(rng)) % len(names)]

    return choose
