"""Facts and sentences for notebooks: HTML there, text elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and their values."""

    values: Mapping[str, str]

    def _repr_html_(self) -> str:
        pairs = "".join(
            f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
            for name, value in self.values.items()
        )
        return f"<dl>{pairs}</dl>"

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.values.items())


@dataclass(frozen=True, slots=True)
class Lines:
    """Sentences, one a line; `empty` stands where there are none."""

    lines: Sequence[str]
    empty: str = ""

    def _repr_html_(self) -> str:
        if not self.lines:
            return f"<p>{escape(self.empty)}</p>"
        return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in self.lines) + "</ul>"

    def __repr__(self) -> str:
        return "\n".join(self.lines) or self.empty
