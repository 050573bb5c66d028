"""One table on a terminal, on a page and in Markdown."""

from __future__ import annotations

import io

from rich.console import Console

from harness.render.table import Cell, Column, Table, Tone, as_html, as_markdown, as_rich, numbers

TABLE = Table(
    (Column("store"), *numbers("ops/s"), Column("kept", "center", minor=True)),
    [("postgres:row", "1,234", Cell("[yes]", Tone.GOOD)), ("a|b", "5", Cell("no", to="there"))],
    "What was measured",
)


def printed(table: Table, width: int = 60) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(as_rich(table))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_terminal_shows_text_as_it_is_and_numbers_flush_right():
    assert printed(TABLE) == [
        "What was measured",
        "store         ops/s  kept",
        "postgres:row  1,234  [yes]",
        "a|b               5   no",
    ]


def test_a_terminal_breaks_words_and_cuts_what_is_to_stay_whole():
    long = [("row", "postgres:global-lock", "wordswordswordswordswords")]
    columns = (Column("a"), Column("b", whole=True, most=9), Column("c"))
    told = printed(Table(columns, long), width=36)
    assert told[1:] == ["row  postgres…  wordswordswordswords", "                words"]


def test_a_narrow_terminal_loses_columns_from_the_right_and_says_which():
    assert printed(TABLE, width=19) == [
        "What was measured",
        "store         ops/s",
        "postgres:row  1,234",
        "a|b               5",
        "no room for: kept",
    ]


def test_a_number_is_shown_whole_at_every_width():
    """In a table as wide as that of costs, whose titles break into lines."""
    titles = ("server µs", "client µs", "trips", "commits", "syncs", "image bytes", "data bytes")
    row = ["postgres{lock=one}+saga", "196", "232", "2.6", "2.6", "0.0047", "13.5", "123,456"]
    store = Column("store", least=len(row[0]), most=len(row[0]))
    wide = Table((store, *numbers(*titles, whole=False)), [row])
    for width in range(len(row[0]), 100):
        (told,) = [line for line in printed(wide, width) if line.startswith(row[0])]
        assert told.split() == row[: len(told.split())], width


def test_what_is_left_out_is_named_in_one_line():
    table = Table((Column("store"), *numbers("false\nan op")), [("postgres:boundary", "1,234")])
    assert printed(table, width=20)[-2:] == ["no room for: false", "an op"]
    assert printed(table, width=24)[-1] == "postgres:boundary  1,234"


def test_the_narrowest_terminal_still_has_every_letter_of_the_store():
    told = printed(TABLE, width=10)
    assert told[2:5] == ["store", "postgres:r", "ow"]
    assert "ops/s" not in told


def test_a_verdict_stays_where_numbers_go():
    verdicts = Table((*TABLE.columns[:2], Column("verdict", kept=True)), TABLE.rows)
    assert printed(verdicts, width=22)[:2] == ["store         verdict", "postgres:row  [yes]"]


def test_markdown_escapes_what_would_end_a_cell_or_be_markup():
    assert as_markdown(TABLE) == (
        "**What was measured**\n\n"
        "| store | ops/s | kept |\n"
        "| --- | ---: | :---: |\n"
        "| postgres:row | 1,234 | \\[yes\\] |\n"
        "| a\\|b | 5 | no |"
    )


def test_a_page_may_leave_minor_columns_out_and_leads_to_other_rows():
    page = as_html(TABLE)
    assert page.startswith('<table role="table" class="compact"><caption>What was measured')
    assert '<td role="cell" class="minor" style="text-align:center" data-head="kept">' in page
    assert '<a href="#there">no</a>' in page
