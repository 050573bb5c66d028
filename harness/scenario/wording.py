"""What a refusal shows of a file: on one line, printable, and not longer than a reader reads."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from harness.errors import BadInput

_SHOWN_CHARACTERS = 60
_LINE_CHARACTERS = 1_000


def one_line(error: BadInput) -> BadInput:
    """The same error with what cannot be printed on one line escaped, and cut if endless."""
    message = _printable(error.message)
    if len(message) > _LINE_CHARACTERS:
        message = f"{message[:_LINE_CHARACTERS]}…"
    return BadInput(
        message,
        file=_printable(error.file),
        line=error.line,
        column=error.column,
    )


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing where nothing is near."""
    close = get_close_matches(word, list(names), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def shown(value: Any, *, quoted: bool = True) -> str:
    """A value as a message names it; text without its quotes on request."""
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


def _printable(text: str) -> str:
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
