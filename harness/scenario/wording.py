"""Values of a file in a message: on one line, printable and short."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from harness.domain.errors import BadInput
from harness.domain.formatting import printable

_SHOWN_CHARACTERS = 60
_LINE_CHARACTERS = 1_000


def one_line(error: BadInput) -> BadInput:
    """The same error on one printable line: other characters escaped, a long message cut."""
    message = printable(error.message)
    if len(message) > _LINE_CHARACTERS:
        message = f"{message[:_LINE_CHARACTERS]}…"
    return BadInput(
        message,
        file=printable(error.file),
        line=error.line,
        column=error.column,
    )


def did_you_mean(word: str, names: Iterable[str], *, alike: float = 0.5) -> str:
    """` (did you mean 'x'?)`, or nothing where no name is close."""
    close = get_close_matches(word, list(names), n=1, cutoff=alike)
    return f" (did you mean {close[0]!r}?)" if close else ""


def shown(value: Any, *, quoted: bool = True) -> str:
    """A value as messages show it; `quoted` keeps the quotes of text."""
    match value:
        case None:
            text = "nothing"
        case bool():
            text = str(value).lower()
        case dict():
            text = "a mapping"
        case list():
            text = "a list" if value else "an empty list"
        case _:
            text = repr(value) if quoted else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
