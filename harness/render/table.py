"""One table for all who read it: on a terminal, on a page, in Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from rich import padding as rich_padding
from rich import table as rich_table
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.text import Text


class Tone(StrEnum):
    """What a cell means for the reader; its value is how a terminal shows that."""

    PLAIN = ""
    HEADING = "bold"
    GOOD = "green"
    BEYOND = "cyan"
    """Good, and more than was promised."""
    DOUBTFUL = "yellow"
    BAD = "red"
    BROKEN = "bold red"
    """Bad, and promised otherwise."""
    FAINT = "dim"


@dataclass(frozen=True, slots=True)
class Cell:
    """Text with a meaning, or one that leads to a row elsewhere on the page."""

    text: str
    tone: Tone = Tone.PLAIN
    to: str = ""
    """The identifier of that row."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Column:
    """What stands above its cells, and how they are set."""

    title: str
    align: Literal["left", "center", "right"] = "left"
    minor: bool = False
    """A narrow page may leave it out."""
    whole: bool = False
    """A terminal cuts its cells rather than break them into lines."""
    kept: bool = False
    """A narrow terminal leaves others out first."""
    least: int | None = None
    most: int | None = None
    """Characters on a terminal; both alike are its width, which does not give way to others."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text in columns; a notebook shows it as HTML."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str | Cell]]
    caption: str = ""
    row_ids: Sequence[str] = ()
    """One a row, where cells lead to them."""

    def _repr_html_(self) -> str:
        return as_html(self)

    def __repr__(self) -> str:
        titles = [column.title for column in self.columns]
        lines = [" | ".join(map(str, row)) for row in (titles, *self.rows)]
        return "\n".join(filter(None, (self.caption, *lines)))


def texts(*titles: str, minor: bool = False) -> tuple[Column, ...]:
    """Columns of words."""
    return tuple(Column(title, minor=minor) for title in titles)


def numbers(*titles: str, minor: bool = False, whole: bool = True) -> tuple[Column, ...]:
    """Columns of numbers, whose digits stand under each other; not `whole`, titles may break."""
    return tuple(Column(title, "right", minor=minor, whole=whole) for title in titles)


def as_rich(
    table: Table, *, heads: str = "bold", padding: rich_padding.PaddingDimensions = (0, 1)
) -> RenderableType:
    """For a terminal. A narrow one gets fewer columns, and a line that names the others.

    The columns go from the right, never the one that says what a row is about.
    """
    return _Fitting(table, heads, padding)


@dataclass(frozen=True, slots=True)
class _Fitting:
    """Decides what fits when it is drawn."""

    table: Table
    heads: str
    padding: rich_padding.PaddingDimensions

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = self._shown(options.max_width)
        drawn = self._drawn(shown)
        if _is_cut(drawn, console, options):
            drawn = self._drawn(shown, self._widths(shown, options.max_width))
        yield drawn
        titles = [_one_line(each.title) for each in self.table.columns]
        if missing := [title for n, title in enumerate(titles) if n not in shown]:
            yield Text(f"no room for: {', '.join(missing)}", style=Tone.FAINT)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._drawn(range(len(self.table.columns))))

    def _shown(self, width: int) -> Sequence[int]:
        """The places of the columns that fit."""
        _, right, _, left = rich_padding.Padding.unpack(self.padding)
        places = list(range(len(self.table.columns)))
        widths = [self._least(place) + left + right for place in places]
        about = _about(self.table)
        optional = [n for n in places if n > about and not self.table.columns[n].kept]
        while optional and sum(widths[n] for n in places) - left - right > width:
            places.remove(optional.pop())
        return places

    def _least(self, place: int) -> int:
        """Characters that a column needs: for a whole cell, or for a word of one that breaks."""
        column = self.table.columns[place]
        title = column.title.splitlines() if column.whole else column.title.split()
        cells = [str(row[place]) for row in self.table.rows]
        unbroken = column.whole or column.align == "right"
        parts = [
            part for cell in cells for part in (cell.splitlines() if unbroken else cell.split())
        ]
        needed = max(map(cell_len, (*title, *parts)), default=0)
        if not unbroken and place != _about(self.table):
            needed = min(needed, _WORD_MAX)
        return max(min(needed, column.most or needed), column.least or 0)

    def _widths(self, places: Sequence[int], width: int) -> Sequence[int] | None:
        """What each column needs, and of the rest what it would fill, those to the left first.

        Rich narrows the widest ones first, below what they need, and the line is cut.
        """
        _, right, _, left = rich_padding.Padding.unpack(self.padding)
        widths = [self._least(place) for place in places]
        spare = width - sum(widths) - (len(places) - 1) * (left + right)
        if spare < 0:
            return None
        for number, place in enumerate(places):
            column = self.table.columns[place]
            texts = (column.title, *(str(row[place]) for row in self.table.rows))
            filled = max(cell_len(line) for text in texts for line in text.splitlines() or [""])
            more = min(spare, max(min(filled, column.most or filled) - widths[number], 0))
            widths[number], spare = widths[number] + more, spare - more
        return widths

    def _drawn(
        self, places: Sequence[int], widths: Sequence[int] | None = None
    ) -> rich_table.Table:
        drawn = rich_table.Table(
            title=self.table.caption or None,
            title_justify="left",
            box=None,
            pad_edge=False,
            padding=self.padding,
            header_style=self.heads,
        )
        for number, place in enumerate(places):
            column = self.table.columns[place]
            fixed = column.most if column.least == column.most else None
            drawn.add_column(
                Text(column.title),
                justify=column.align,
                no_wrap=column.whole and place != _about(self.table),
                overflow="ellipsis" if column.whole and place != _about(self.table) else "fold",
                width=widths[number] if widths else fixed,
                min_width=column.least if len(places) == 1 else self._least(place),
                max_width=column.most,
            )
        for row in self.table.rows:
            drawn.add_row(*(_text(row[place]) for place in places))
        return drawn


def _is_cut(drawn: rich_table.Table, console: Console, options: ConsoleOptions) -> bool:
    """Whether a line is longer than there is room for."""
    lines = Segment.split_lines(console.render(drawn, options))
    return any(Segment.get_line_length(line) > options.max_width for line in lines)


_WORD_MAX = 20
"""Characters of a word for which a column of text keeps room: a longer one breaks."""


def _about(table: Table) -> int:
    """The column that says what a row is about."""
    titles = [column.title for column in table.columns]
    return titles.index("store") if "store" in titles else 0


def print_under_heading(table: Table, console: Console, *, gap: int = 1) -> None:
    """The caption as a heading, however long, and the rows with `gap` spaces between columns."""
    console.print()
    console.print(Text(table.caption, style=Tone.HEADING), soft_wrap=True)
    console.print(as_rich(replace(table, caption=""), heads="dim", padding=(0, gap, 0, 0)))


def _text(cell: str | Cell) -> Text:
    return Text(cell.text, style=cell.tone) if isinstance(cell, Cell) else Text(cell)


def as_markdown(table: Table) -> str:
    """For GitHub: the caption in bold above the table."""
    rules = [{"left": "---", "center": ":---:", "right": "---:"}[column.align]
             for column in table.columns]  # fmt: skip
    titles = [markdown_text(column.title) for column in table.columns]
    rows = [[markdown_text(cell) for cell in row] for row in table.rows]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in (titles, rules, *rows))
    return f"**{markdown_text(table.caption)}**\n\n{lines}" if table.caption else lines


_MARKS = str.maketrans({mark: "\\" + mark for mark in "\\|`*_[]~$#"})
"""What GitHub takes for markup or for a formula."""
_STARTS = re.compile(r"^(\d*)([-+=.)])(?=\s|$|[-=])")
"""What makes a list or a rule at the start of a line."""
_ADDRESSES = re.compile(r"(:)(?=//)|(?<=\bwww)(\.)", re.I)
_MENTIONS = re.compile(r"@|#(?=\d)")
"""People and issues, which GitHub finds in the text that a reader would see."""
_JOINER = "\u2060"
"""Has no width."""


def markdown_text(text: object) -> str:
    """One line of text that neither ends a cell, becomes markup, nor is linked."""
    escaped = html.escape(_one_line(text), quote=False).translate(_MARKS)
    escaped = _STARTS.sub(r"\1\\\2", escaped)
    escaped = _ADDRESSES.sub(lambda found: f"\\{found[0]}", escaped)
    return _MENTIONS.sub(lambda found: found[0] + _JOINER, escaped)


def markdown_code(text: object) -> str:
    """One line of code, fenced by more backticks than it has in a row."""
    line = _one_line(text)
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    space = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{fence}{space}{line}{space}{fence}"


def _one_line(text: object) -> str:
    """Without line ends and other control characters, which no text of a run needs."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def as_html(table: Table) -> str:
    """For a page and for a notebook.

    With minor columns a narrow page leaves those out and keeps the table a table; without, it
    shows each row as a list of head and value. Such a page takes the display of a table away, and
    its meaning with it: roles keep it.
    """
    heads = "".join(
        f'<th role="columnheader" scope="col"{_look(column)}>{html.escape(column.title)}</th>'
        for column in table.columns
    )
    ids = [f' id="{html.escape(each)}"' for each in table.row_ids] or [""] * len(table.rows)
    body = "".join(
        f'<tr role="row"{each}>{"".join(_html_cells(table, row))}</tr>'
        for each, row in zip(ids, table.rows, strict=True)
    )
    caption = f"<caption>{html.escape(table.caption)}</caption>" if table.caption else ""
    kind = ' class="compact"' if any(column.minor for column in table.columns) else ""
    return (
        f'<table role="table"{kind}>{caption}'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table>'
    )


def _html_cells(table: Table, row: Sequence[str | Cell]) -> Iterator[str]:
    """Each carries its head; the column that says what a row is about heads the row."""
    about = _about(table)
    for place, (column, cell) in enumerate(zip(table.columns, row, strict=True)):
        tag, role = ("th", 'scope="row" role="rowheader"') if place == about else (
            "td", 'role="cell"'
        )  # fmt: skip
        head = html.escape(column.title).replace(":", ":\u200b")
        yield f'<{tag} {role}{_look(column)} data-head="{head}">{_html_content(cell)}</{tag}>'


def _look(column: Column) -> str:
    """Text is set flush left here, because Jupyter sets every cell flush right."""
    kinds = {"number": column.align == "right", "minor": column.minor}
    names = " ".join(kind for kind, is_one in kinds.items() if is_one)
    side = "" if column.align == "right" else f' style="text-align:{column.align}"'
    return (f' class="{names}"' if names else "") + side


def _html_content(cell: str | Cell) -> str:
    if isinstance(cell, Cell) and cell.to:
        return f'<a href="#{html.escape(cell.to)}">{html.escape(cell.text)}</a>'
    return _breakable(str(cell))


def _breakable(cell: str) -> str:
    """A store key may be broken before its variant and between its options."""
    text = html.escape(cell)
    text = text.replace("{", "<wbr>{").replace(",", ",<wbr>") if "{" in text else text
    return text.replace(":", ":<wbr>") if " " not in cell else text
