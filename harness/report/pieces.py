"""What a section shows as HTML: tables and sentences as they are, figures with identifiers of
their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from markupsafe import Markup

from harness.figures import Drawing

_ID = re.compile(r'(\bid="|href="#|url\(#)')


class Html(Protocol):
    """A table, a list of sentences or facts; it escapes the text in it."""

    def _repr_html_(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Part:
    """Pieces that stand together, behind a line to open them where `folded` has words."""

    pieces: Sequence[Markup]
    folded: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a sentence that says how to read what follows, and what follows."""

    name: str
    title: str
    parts: Sequence[Part]
    says: str = ""


class Pieces:
    """Makes pieces of one page; identifiers inside its figures are unique on it."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def part(self, shown: Iterable[Html | Drawing], folded: str = "") -> Iterator[Part]:
        """One part, or none where there is nothing to show."""
        pieces = tuple(self._piece(each) for each in shown)
        if pieces:
            yield Part(pieces, folded)

    def _piece(self, shown: Html | Drawing) -> Markup:
        if isinstance(shown, Drawing):
            unique = _ID.sub(rf"\g<1>f{next(self._numbers)}-", shown.svg())
            return Markup(f"<figure>{unique}</figure>")  # noqa: S704 — matplotlib escapes its text
        html = shown._repr_html_()
        return Markup(f'<div class="text">{html}</div>')  # noqa: S704 — and so do our tables
