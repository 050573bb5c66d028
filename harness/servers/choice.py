"""Which way a run takes to its servers: one for all of them, unless they may be mixed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import BadInput
from harness.servers.protocol import Availability
from harness.servers.table import TECHNOLOGIES

WAYS = ("external", "docker", "native")
ASKED = ("auto", *WAYS, "mixed")


@dataclass(frozen=True, slots=True)
class Choice:
    """The way of each technology that can be had, and a line for each that cannot."""

    ways: Mapping[str, str]
    reasons: tuple[str, ...]


def probe(technology: str, way: str) -> Availability:
    """Whether that way is open. Cheap, starts nothing; what the user wrote wrong is its detail."""
    try:
        return _probe(technology, way)
    except BadInput as error:
        return Availability(technology, way, ready=False, detail=str(error), named=True)


def choose_way(technologies: Iterable[str], asked: str) -> Choice:
    """The way of each technology under `asked`: auto, external, docker, native or mixed.

    `auto` takes one way for all, so that every path is alike: the first that the user named
    or that is ready for any of them. `mixed` goes through the ways for each by itself.
    Raises `BadInput` where the user's own words are wrong.
    """
    if asked not in ASKED:
        raise BadInput(f"no way {asked!r} to get servers; allowed: {', '.join(ASKED)}")
    found = {name: [_probe(name, way) for way in WAYS] for name in dict.fromkeys(technologies)}
    one = _one_way(found.values()) if asked == "auto" else asked
    open_to = {name: [a for a in row if one in ("mixed", a.way)] for name, row in found.items()}
    chosen = {name: _first(row) for name, row in open_to.items()}
    return Choice(
        ways={name: a.way for name, a in chosen.items() if a is not None and a.ready},
        reasons=tuple(
            _reason(name, [a] if a else open_to[name], found[name])
            for name, a in chosen.items()
            if a is None or not a.ready
        ),
    )


def _probe(technology: str, way: str) -> Availability:
    if technology not in TECHNOLOGIES:
        known = ", ".join(TECHNOLOGIES)
        raise BadInput(f"no servers of {technology!r} are known; allowed: {known}")
    if way not in WAYS:
        raise BadInput(f"no way {way!r} to get a server; allowed: {', '.join(WAYS)}")
    built = TECHNOLOGIES[technology].get(way)
    if built is None:
        return Availability(technology, way, ready=False, detail="not built yet")
    return built.probe()


def _first(row: Iterable[Availability]) -> Availability | None:
    """A server that the user named is never passed over for another in silence."""
    return next((a for a in row if a.ready or a.named), None)


def _one_way(rows: Iterable[Sequence[Availability]]) -> str:
    by_way = (a for column in zip(*rows, strict=True) for a in column)
    first = _first(by_way)
    return first.way if first else "mixed"


def _reason(name: str, tried: Sequence[Availability], row: Sequence[Availability]) -> str:
    details = "; ".join(f"{a.way}: {a.detail}" for a in tried)
    other = [a.way for a in row if a.ready and a not in tried]
    return f"{name}: {details}" + (f" (or --servers mixed: {other[0]} is ready)" if other else "")
