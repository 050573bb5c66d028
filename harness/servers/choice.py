"""How a run gets its servers: one way for all of them, unless `mixed` allows several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.domain.errors import BadInput
from harness.domain.server import Availability
from harness.servers.technologies import TECHNOLOGIES

WAYS = ("external", "docker", "native")
ASKED = ("auto", *WAYS, "mixed")


@dataclass(frozen=True, slots=True)
class Choice:
    """The way of each technology that has a server, and the reason for each that has none."""

    ways: Mapping[str, str]
    reasons: Mapping[str, str]


def probe(technology: str, way: str) -> Availability:
    """Whether that way is ready. Cheap, starts nothing; a user's wrong setting is its detail."""
    try:
        return _probe(technology, way)
    except BadInput as error:
        return Availability(technology, way, ready=False, detail=str(error), named=True)


def choose_way(technologies: Iterable[str], asked: str) -> Choice:
    """The way of each technology under `asked`: auto, external, docker, native or mixed.

    `auto` takes one way for all, so that every path is alike: the first that the user named
    or that is ready for any of them. `mixed` chooses a way for each technology separately.
    Raises `BadInput` for an unknown name or a wrong address in a variable.
    """
    if asked not in ASKED:
        raise BadInput(f"no way {asked!r} to get servers; allowed: {', '.join(ASKED)}")
    rows = {name: [_probe(name, way) for way in WAYS] for name in dict.fromkeys(technologies)}
    way = _one_way(rows.values()) if asked == "auto" else asked
    open_to = {name: [a for a in row if way in ("mixed", a.way)] for name, row in rows.items()}
    chosen = {name: _first(row) for name, row in open_to.items()}
    return Choice(
        ways={name: a.way for name, a in chosen.items() if a is not None and a.ready},
        reasons={
            name: _reason(name, [a] if a else open_to[name], rows[name])
            for name, a in chosen.items()
            if a is None or not a.ready
        },
    )


def _probe(technology: str, way: str) -> Availability:
    if technology not in TECHNOLOGIES:
        known = ", ".join(TECHNOLOGIES)
        raise BadInput(f"no servers of {technology!r} are known; allowed: {known}")
    if way not in WAYS:
        raise BadInput(f"no way {way!r} to get a server; allowed: {', '.join(WAYS)}")
    return TECHNOLOGIES[technology].providers[way].probe()


def _first(row: Iterable[Availability]) -> Availability | None:
    """The first that is ready or named: no other silently replaces one that the user named."""
    return next((a for a in row if a.ready or a.named), None)


def _one_way(rows: Iterable[Sequence[Availability]]) -> str:
    by_way = (a for column in zip(*rows, strict=True) for a in column)
    first = _first(by_way)
    return first.way if first else "mixed"


def _reason(name: str, tried: Sequence[Availability], row: Sequence[Availability]) -> str:
    details = "; ".join(f"{a.way}: {a.detail}" for a in tried)
    other = [a.way for a in row if a.ready and a not in tried]
    return f"{name}: {details}" + (f" (or --servers mixed: {other[0]} is ready)" if other else "")
