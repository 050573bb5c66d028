"""Store names beside what they name: wrapped where they are long, moved apart where they meet."""

from __future__ import annotations

from collections.abc import Sequence

_EM = 0.62
"""Mean width of a character of DejaVu Sans in ems; wider than most readers' fonts."""
_PT_AN_INCH = 72
LINE_EM = 1.25


def wrapped(key: str, characters: int) -> list[str]:
    """A store key in lines of at most so many characters, broken before `{` and behind `,`."""
    parts = key.replace("{", "\0{").replace(",", ",\0").replace(":", "\0:").split("\0")
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(part) > characters:
            lines.append("")
        lines[-1] += part
    return [piece for line in lines for piece in _cut(line, characters)]


def width_in(texts: Sequence[str], size_pt: float) -> float:
    """Room that the longest of the texts needs, in inches."""
    return max((len(text) for text in texts), default=0) * size_pt * _EM / _PT_AN_INCH


def height_in(lines: int, size_pt: float) -> float:
    """Room that so many lines need, in inches."""
    return lines * size_pt * LINE_EM / _PT_AN_INCH


def apart(wanted: Sequence[float], heights: Sequence[float], top: float) -> list[float]:
    """Centres near the wanted ones, between 0 and `top`, so that labels of these heights part.

    Labels that would meet are stacked around their common middle; the order is kept. `top` must
    be at least the sum of the heights.
    """
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    piles: list[_Pile] = []
    for place in order:
        piles.append(_Pile([place], wanted, heights, top))
        while len(piles) > 1 and piles[-2].bottom + piles[-2].height > piles[-1].bottom:
            above = piles.pop()
            piles[-1] = _Pile([*piles[-1].places, *above.places], wanted, heights, top)
    centres = [0.0] * len(wanted)
    for pile in piles:
        bottom = pile.bottom
        for place in pile.places:
            centres[place] = bottom + heights[place] / 2
            bottom += heights[place]
    return centres


class _Pile:
    """Labels on top of one another, as near to where they were wanted as the edges allow."""

    def __init__(
        self, places: list[int], wanted: Sequence[float], heights: Sequence[float], top: float
    ) -> None:
        self.places = places
        self.height = sum(heights[place] for place in places)
        middle = sum(wanted[place] for place in places) / len(places)
        self.bottom = max(0.0, min(middle - self.height / 2, top - self.height))


def _cut(line: str, characters: int) -> list[str]:
    """A line that is too long still: cut behind a `=`, `_` or `-` where one is near its end."""
    pieces = []
    while len(line) > characters:
        ends = [line.rfind(mark, characters // 2, characters) + 1 for mark in "=_-"]
        end = max(ends) or characters
        pieces.append(line[:end])
        line = line[end:]
    return [*pieces, line]
