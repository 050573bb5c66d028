"""The table that `make perf` prints: what was measured, the goal, the value, its spread."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Table:
    """Rows of measure, goal, median, least, most."""

    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)

    def add(self, measure: str, goal: str, values: Sequence[float], unit: str = "") -> None:
        """A row for repeated values of one measure."""
        shown = [_spell(value) + unit for value in (min(values), max(values))]
        self.rows.append((measure, goal, _spell(statistics.median(values)) + unit, *shown))

    def print(self) -> None:
        """Print it, columns aligned."""
        header = ("measure", "goal", "median", "least", "most")
        widths = [max(len(row[i]) for row in [header, *self.rows]) for i in range(len(header))]
        for row in [header, *self.rows]:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


def _spell(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
