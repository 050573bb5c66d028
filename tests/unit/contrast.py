"""How well text can be told from the paper behind it, as WCAG 2 counts it."""

from __future__ import annotations

import re

LEAST = 4.5
"""For text that is not large."""
Colour = tuple[float, float, float]

_INVERTED = 0.91
"""As page.css turns a figure over in the dark, before it turns the hues back."""
_TURNED = (
    (-0.574, 1.430, 0.144),
    (0.426, 0.430, 0.144),
    (0.426, 1.430, -0.856),
)
"""hue-rotate(180deg), by the Filter Effects specification."""


def of_text(svg: str) -> set[str]:
    """The colours of an SVG's texts, as #rrggbb; those that say none are black."""
    styles = re.findall(r"<text\b([^>]*)>", svg)
    found = [re.search(r"fill: (#[0-9a-f]{6})", style) for style in styles]
    return {each[1] if each else "#000000" for each in found}


def on_white(colour: str) -> float:
    """The contrast of #rrggbb on a figure's paper."""
    return contrast(_parsed(colour), (1, 1, 1))


def in_the_dark(colour: str) -> float:
    """The same when the page is dark."""
    return contrast(_turned(_parsed(colour)), _turned((1, 1, 1)))


def contrast(one: Colour, other: Colour) -> float:
    """From 1 to 21."""
    low, high = sorted(map(_luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def _parsed(colour: str) -> Colour:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def _turned(colour: Colour) -> Colour:
    inverted = [_INVERTED + (1 - 2 * _INVERTED) * each for each in colour]
    red, green, blue = (
        min(1, max(0, sum(share * each for share, each in zip(row, inverted, strict=True))))
        for row in _TURNED
    )
    return red, green, blue


def _luminance(colour: Colour) -> float:
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in colour
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
