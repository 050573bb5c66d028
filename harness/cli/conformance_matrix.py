"""The matrix of `eslab conformance`: as it fills, when it is done, and with its evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from harness.conformance import (
    MARKS,
    Check,
    Column,
    Conclusion,
    Judgement,
    Matrix,
    requirements,
    summary,
)
from harness.domain import formatting
from harness.render import table as render_table
from harness.render.table import Cell, Table, Tone, as_rich
from harness.run.conformance import Request

Cells = Mapping[str, dict[int, Judgement]]
"""By the store's key, then by the check's number."""

TONES = {
    Conclusion.HOLDS: Tone.GOOD,
    Conclusion.HOLDS_NOT_PROMISED: Tone.BEYOND,
    Conclusion.DECLARED_AND_FAILS: Tone.BROKEN,
    Conclusion.FAILS_NOT_PROMISED: Tone.DOUBTFUL,
    Conclusion.UNSUPPORTED: Tone.FAINT,
    Conclusion.NOT_REACHED: Tone.FAINT,
    Conclusion.DECLARED_NOT_REACHED: Tone.DOUBTFUL,
}
LOG_WIDTH = 132
"""Where there is no terminal to fit into."""
NAME_MIN = 24
"""Characters of a check's name, however many stores there are."""
COUNTS_MIN = len("✗2 ?3 ✓4")
"""Characters of a store's column, so that the counts of a requirement are whole."""
_PADDING = 2
LEGEND = (
    "✓ holds · ✓ + holds, not promised · ✗ fails, not promised · ✗ ! declared and fails"
    " · ○ declared unsupported · ? not reached · ? ! declared and not reached"
    "\nthe number beside a mark: how often the check met what it is about; --explain N says what"
)
_MARKS = "✗?○✓"
"""Those of a requirement whose checks differ, each with how many."""
_SUFFIX = {
    Conclusion.HOLDS_NOT_PROMISED: " +",
    Conclusion.DECLARED_AND_FAILS: " !",
    Conclusion.DECLARED_NOT_REACHED: " !",
}


class LogMatrix:
    """For logs: a line for each store, and for each check that fails."""

    def __init__(self, console: Console, request: Request) -> None:
        self._console, self._checks = console, len(request.checks)
        self._cells: dict[str, dict[int, Judgement]] = {}

    def __enter__(self) -> LogMatrix:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to put away."""

    def note(self, text: str) -> None:
        """Print it."""
        self._console.print(Text(text), soft_wrap=True)

    def judged(self, key: str, judgement: Judgement) -> None:
        """A line when the store's last check is done."""
        cells = self._cells.setdefault(key, {})
        cells[judgement.check.number] = judgement
        if len(cells) == self._checks:
            self.note(f"{key}: {_counted(cells)}")


class FillingMatrix:
    """For a terminal: the table itself, drawn again as cells come in."""

    def __init__(self, console: Console, request: Request) -> None:
        self._console, self._request = console, request
        self._cells: dict[str, dict[int, Judgement]] = {ref.key: {} for ref in request.stores}
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=4,
            vertical_overflow="visible",
        )

    def __enter__(self) -> FillingMatrix:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def note(self, text: str) -> None:
        """Print it above the table."""
        self._console.print(Text(text, style="yellow"))

    def judged(self, key: str, judgement: Judgement) -> None:
        """Fill a cell."""
        self._cells[key][judgement.check.number] = judgement

    def _render(self) -> RenderableType:
        return table(self._request, self._cells, self._console.width)


def table(request: Request, cells: Cells, width: int) -> RenderableType:
    """Stores across; requirements down, each with its checks under it. Names give way first."""
    headings = [_heading(key) for key in cells]
    least = [max(COUNTS_MIN, *map(len, heading.splitlines())) for heading in headings]
    names = max(NAME_MIN, width - sum(each + _PADDING for each in least))
    columns = (
        render_table.Column("", whole=True, most=names),
        *(render_table.Column(heading, "center", whole=True, least=fewest)
          for heading, fewest in zip(headings, least, strict=True)),
    )  # fmt: skip
    drawn = as_rich(Table(columns, list(_rows(request.checks, cells))))
    return Group(drawn, Text(LEGEND, style=Tone.FAINT))


def _rows(checks: Sequence[Check], cells: Cells) -> Iterator[tuple[str | Cell, ...]]:
    for requirement in requirements(checks):
        mine = [each for each in checks if each.requirement is requirement]
        totals = [_of_all(row, mine) for row in cells.values()]
        yield Cell(requirement.heading, Tone.HEADING), *totals
        for each in mine:
            results = [_cell(row.get(each.number)) for row in cells.values()]
            yield f"  {each.number:>2} {each.name}", *results


def _heading(key: str) -> str:
    """A store's name on narrow lines."""
    technology, colon, variant = key.partition(":")
    return f"{technology}\n{variant}" if colon else key


def durability(matrix: Matrix) -> RenderableType:
    """The class that losing power showed, beside the one that settings promise."""
    lines = []
    for column in matrix.columns:
        if column.durability is None:
            continue
        by_settings = column.guarantees.durability
        differs = f", by its settings {by_settings}" if by_settings is not column.durability else ""
        seen = column.durability.removesuffix(" as configured")
        text = f"{column.key}: measured: {seen}{differs}: {column.power_losses}"
        lines.append(Text(text, style=Tone.DOUBTFUL if differs else ""))
    return Group(*lines)


def evidence(matrix: Matrix) -> RenderableType:
    """Every ✗ and every red ? with the smallest evidence of it, and why others say ?."""
    lines: list[Text] = []
    for column in matrix.columns:
        for judged in column.judgements.values():
            failed = judged.conclusion is Conclusion.FAILS_NOT_PROMISED
            if judged.defect or judged.unproven or failed:
                lines += _evidence_of(column.key, judged)
        lines += _not_reached(column)
    return Group(*lines)


def _not_reached(column: Column) -> Iterator[Text]:
    """Why, once for all the checks that it kept from anything."""
    by_reason: dict[str, list[str]] = {}
    for judged in column.judgements.values():
        if judged.conclusion is Conclusion.NOT_REACHED:
            by_reason.setdefault(judged.result.why, []).append(str(judged.check.number))
    for why, numbers in by_reason.items():
        yield Text(f"? {column.key} {', '.join(numbers)} not reached: {why}", style="dim")


def _evidence_of(key: str, judged: Judgement) -> Iterator[Text]:
    head = f"{judged.mark} {key} {judged.check.number} {judged.check.name}"
    yield Text(f"{head}: {judged.conclusion}: {judged.result.why}", style=TONES[judged.conclusion])
    for step in judged.result.evidence:
        at = f"{step.at_ms:8.1f} ms" if step.at_ms is not None else " " * 11
        result = f" → {step.result}" if step.result else ""
        yield Text(f"    {at}  {step.who}: {step.did}{result}", overflow="fold")


def _of_all(row: Mapping[int, Judgement], checks: list[Check]) -> Cell:
    judged = [row[each.number] for each in checks if each.number in row]
    if len(judged) < len(checks):
        return Cell("…" if judged else "", Tone.FAINT)
    word = summary(judged)
    counts = Counter(each.mark for each in judged)
    marks = " ".join(f"{mark}{counts[mark]}" for mark in _MARKS if mark in counts)
    text = MARKS[word] if len(counts) == 1 else marks
    return Cell(text + _SUFFIX.get(word, ""), TONES[word])


def _cell(judged: Judgement | None) -> str | Cell:
    if judged is None:
        return ""
    seen = next(iter(judged.result.provoked), None)
    count = f" {formatting.compact(seen.count)}" if seen else ""
    return Cell(judged.mark + _SUFFIX.get(judged.conclusion, "") + count, TONES[judged.conclusion])


def _counted(cells: Mapping[int, Judgement]) -> str:
    words = [each.conclusion for each in cells.values()]
    return ", ".join(f"{words.count(word)} {word}" for word in Conclusion if word in words)
