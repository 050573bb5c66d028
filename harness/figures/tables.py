"""Tables and paragraphs for notebooks: HTML that stays readable on a telephone, text elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under column heads; a column in `numbers` is set flush right.

    With columns in `minor` a narrow page leaves those out and keeps the table a table; without,
    it shows each row as a list of head and value.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    numbers: frozenset[str] = frozenset()
    minor: frozenset[str] = frozenset()

    def _repr_html_(self) -> str:
        heads = "".join(
            f'<th role="columnheader" scope="col"{self._class(head)}>{escape(head)}</th>'
            for head in self.heads
        )
        body = "".join(f'<tr role="row">{self._cells(row)}</tr>' for row in self.rows)
        title = f"<caption>{escape(self.title)}</caption>" if self.title else ""
        kind = ' class="compact"' if self.minor else ""
        return (
            f'<table role="table"{kind}>{title}'
            f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>'
            f'<tbody role="rowgroup">{body}</tbody></table>'
        )

    def __repr__(self) -> str:
        lines = [self.title, " | ".join(self.heads), *(" | ".join(row) for row in self.rows)]
        return "\n".join(filter(None, lines))

    def _cells(self, row: Sequence[str]) -> str:
        """Each cell carries its head: a narrow page shows a row as a list of head and value.

        Such a page takes the display of a table away, and its meaning with it: roles keep it.
        """
        return "".join(
            f'<td role="cell"{self._class(head)} data-head="{escape(head)}">{_breakable(cell)}</td>'
            for head, cell in zip(self.heads, row, strict=True)
        )

    def _class(self, head: str) -> str:
        named = {"number": self.numbers, "minor": self.minor}
        kinds = " ".join(kind for kind, heads in named.items() if head in heads)
        return f' class="{kinds}"' if kinds else ""


def _breakable(cell: str) -> str:
    """A store key may be broken before its variant and between its options."""
    text = escape(cell)
    text = text.replace("{", "<wbr>{").replace(",", ",<wbr>") if "{" in text else text
    return text.replace(":", ":<wbr>") if " " not in cell else text


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
    """Sentences, one a line; `empty` is said where there are none."""

    lines: Sequence[str]
    empty: str = ""

    def _repr_html_(self) -> str:
        if not self.lines:
            return f"<p>{escape(self.empty)}</p>"
        return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in self.lines) + "</ul>"

    def __repr__(self) -> str:
        return "\n".join(self.lines) or self.empty
