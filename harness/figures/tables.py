"""Tables and paragraphs for notebooks: HTML that stays readable on a telephone, text elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_STORE = "store"


@dataclass(frozen=True, slots=True)
class Link:
    """A cell that leads to a row elsewhere on the page, by that row's identifier."""

    text: str
    to: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under column heads; a column in `numbers` is set flush right.

    With columns in `minor` a narrow page leaves those out and keeps the table a table; without,
    it shows each row as a list of head and value.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str | Link]]
    title: str = ""
    numbers: frozenset[str] = frozenset()
    minor: frozenset[str] = frozenset()
    row_ids: Sequence[str] = ()
    """One a row, where a `Link` leads to them."""

    def _repr_html_(self) -> str:
        heads = "".join(
            f'<th role="columnheader" scope="col"{self._look(head)}>{escape(head)}</th>'
            for head in self.heads
        )
        ids = [f' id="{escape(each)}"' for each in self.row_ids] or [""] * len(self.rows)
        body = "".join(
            f'<tr role="row"{each}>{self._cells(row)}</tr>'
            for each, row in zip(ids, self.rows, strict=True)
        )
        title = f"<caption>{escape(self.title)}</caption>" if self.title else ""
        kind = ' class="compact"' if self.minor else ""
        return (
            f'<table role="table"{kind}>{title}'
            f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>'
            f'<tbody role="rowgroup">{body}</tbody></table>'
        )

    def __repr__(self) -> str:
        lines = [
            self.title,
            " | ".join(self.heads),
            *(" | ".join(map(str, row)) for row in self.rows),
        ]
        return "\n".join(filter(None, lines))

    def _cells(self, row: Sequence[str | Link]) -> str:
        """Each cell carries its head: a narrow page shows a row as a list of head and value.

        Such a page takes the display of a table away, and its meaning with it: roles keep it.
        """
        return "".join(
            self._cell(head, _content(cell)) for head, cell in zip(self.heads, row, strict=True)
        )

    def _cell(self, head: str, content: str) -> str:
        about = f'{self._look(head)} data-head="{_label(head)}"'
        if head == self._names_rows:
            return f'<th scope="row" role="rowheader"{about}>{content}</th>'
        return f'<td role="cell"{about}>{content}</td>'

    @property
    def _names_rows(self) -> str:
        """The column that says what a row is about: the store, or else the first."""
        return _STORE if _STORE in self.heads else self.heads[0]

    def _look(self, head: str) -> str:
        """Its class; text is set flush left here, because Jupyter sets every cell flush right."""
        named = {"number": self.numbers, "minor": self.minor}
        kinds = " ".join(kind for kind, heads in named.items() if head in heads)
        side = "" if head in self.numbers else ' style="text-align:left"'
        return (f' class="{kinds}"' if kinds else "") + side


def _label(head: str) -> str:
    """As a narrow page writes it before the value: a store key may be broken before its variant."""
    return escape(head).replace(":", ":\u200b")


def _content(cell: str | Link) -> str:
    if isinstance(cell, Link):
        return f'<a href="#{escape(cell.to)}">{escape(cell.text)}</a>'
    return _breakable(cell)


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
