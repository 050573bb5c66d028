"""The guarantee matrix on a terminal, filling while it is measured, and as lines elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.conformance import Check, Judgement
from harness.conformance.judging import MARKS, Word
from harness.conformance.matrix import Column, Matrix, requirements, summary
from harness.runner.conforming import Request

Cells = Mapping[str, dict[int, Judgement]]
"""By the store's key, then by the check's number."""

STYLES = {
    Word.HOLDS: "green",
    Word.HOLDS_NOT_PROMISED: "cyan",
    Word.DEFECT: "bold red",
    Word.FACT: "yellow",
    Word.UNSUPPORTED: "dim",
    Word.NOT_REACHED: "dim",
    Word.DEFECT_NOT_REACHED: "bold red",
}
NAME_MIN = 24
"""Characters of a check's name, however many stores there are."""
COUNTS_MIN = len("✗2 ?3 ✓4")
"""Characters of a store's column, so that the counts of a requirement are whole."""
_PADDING = 2
LEGEND = (
    "✓ holds · ✓ + holds, not promised · ✗ fails, not promised · ✗ ! declared and fails"
    " · ○ declared unsupported · ? not reached"
)
_MARKS = "✗?○✓"
"""Those of a requirement whose checks differ, each with how many."""
_SUFFIX = {Word.HOLDS_NOT_PROMISED: " +", Word.DEFECT: " !", Word.DEFECT_NOT_REACHED: " !"}


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

    def found(self, key: str, judgement: Judgement) -> None:
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

    def found(self, key: str, judgement: Judgement) -> None:
        """Fill a cell."""
        self._cells[key][judgement.check.number] = judgement

    def _render(self) -> RenderableType:
        return table(self._request, self._cells, self._console.width)


def table(request: Request, cells: Cells, width: int) -> RenderableType:
    """Stores across; requirements down, each with its checks under it. Names give way first."""
    headings = [_heading(key) for key in cells]
    least = [max(COUNTS_MIN, *map(len, heading.splitlines())) for heading in headings]
    names = max(NAME_MIN, width - sum(each + _PADDING for each in least))
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    drawn.add_column("", no_wrap=True, max_width=names)
    for heading, fewest in zip(headings, least, strict=True):
        drawn.add_column(heading, justify="center", no_wrap=True, min_width=fewest)
    for requirement in requirements(request.checks):
        checks = [each for each in request.checks if each.requirement is requirement]
        words = [_of_all(row, checks) for row in cells.values()]
        drawn.add_row(Text(requirement.heading, style="bold"), *words)
        for each in checks:
            name = Text(f"  {each.number:>2} {each.name}")
            drawn.add_row(name, *(_cell(row.get(each.number)) for row in cells.values()))
    return Group(drawn, Text(LEGEND, style="dim"))


def _heading(key: str) -> str:
    """A store's name on narrow lines."""
    technology, colon, variant = key.partition(":")
    return f"{technology}\n{variant}" if colon else key


def evidence(matrix: Matrix) -> RenderableType:
    """Every ✗ and every red ? with the smallest evidence of it, and why others say ?."""
    lines: list[Text] = []
    for column in matrix.columns:
        for judged in column.judgements.values():
            if judged.defect or judged.word is Word.FACT:
                lines += _evidence_of(column.key, judged)
        lines += _not_reached(column)
    return Group(*lines)


def _not_reached(column: Column) -> Iterator[Text]:
    """Why, once for all the checks that it kept from anything."""
    by_reason: dict[str, list[str]] = {}
    for judged in column.judgements.values():
        if judged.word is Word.NOT_REACHED:
            by_reason.setdefault(judged.finding.why, []).append(str(judged.check.number))
    for why, numbers in by_reason.items():
        yield Text(f"? {column.key} {', '.join(numbers)} not reached: {why}", style="dim")


def _evidence_of(key: str, judged: Judgement) -> Iterator[Text]:
    head = f"{judged.mark} {key} {judged.check.number} {judged.check.name}"
    yield Text(f"{head}: {judged.word}: {judged.finding.why}", style=STYLES[judged.word])
    for step in judged.finding.evidence:
        at = f"{step.at_ms:8.1f} ms" if step.at_ms is not None else " " * 11
        result = f" → {step.result}" if step.result else ""
        yield Text(f"    {at}  {step.who}: {step.did}{result}", overflow="fold")


def _of_all(row: Mapping[int, Judgement], checks: list[Check]) -> Text:
    judged = [row[each.number] for each in checks if each.number in row]
    if len(judged) < len(checks):
        return Text("…" if judged else "", style="dim")
    word = summary(judged)
    counts = Counter(each.mark for each in judged)
    if len(counts) == 1:
        return Text(MARKS[word] + _SUFFIX.get(word, ""), style=STYLES[word])
    told = " ".join(f"{mark}{counts[mark]}" for mark in _MARKS if mark in counts)
    return Text(told + _SUFFIX.get(word, ""), style=STYLES[word])


def _cell(judged: Judgement | None) -> Text:
    if judged is None:
        return Text("")
    return Text(judged.mark + _SUFFIX.get(judged.word, ""), style=STYLES[judged.word])


def _counted(cells: Mapping[int, Judgement]) -> str:
    words = [each.word for each in cells.values()]
    return ", ".join(f"{words.count(word)} {word}" for word in Word if word in words)
