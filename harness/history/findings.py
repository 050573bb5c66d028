"""Collects violations: exact counts, and the first few of each kind in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from harness.history.columns import Flags, Ints, Log
from harness.history.violations import Kind, Violation
from harness.identity import event_id

KEPT_A_KIND = 10
"""So that thousands of one kind do not crowd out the only one of another."""

Detail = str | Callable[[int], str]
"""The words, or how to make them from an index into the columns."""


class Findings:
    """Violations as they are found. `base` turns sequence numbers back into event ids."""

    def __init__(
        self,
        *,
        base: int,
        names: Mapping[int, str],
        foreign: Mapping[tuple[int, int], UUID],
    ) -> None:
        self.counts: dict[Kind, int] = {}
        self.violations: list[Violation] = []
        self._base = base
        self._names = names
        self._foreign = foreign

    def add(self, kind: Kind, stream: Ints, version: Ints, event: Ints, detail: Detail) -> None:
        """Count one violation an element; the columns are equally long."""
        if not len(event):
            return
        before = self.counts.get(kind, 0)
        self.counts[kind] = before + len(event)
        for index in range(min(len(event), max(0, KEPT_A_KIND - before))):
            place = int(stream[index]), int(version[index])
            self.violations.append(
                Violation(
                    kind,
                    self._names.get(place[0], f"stream number {place[0]}"),
                    place[1],
                    self._identity(place, int(event[index])),
                    detail if isinstance(detail, str) else detail(index),
                )
            )

    def add_rows(self, kind: Kind, log: Log, rows: Ints | Flags, detail: Detail) -> None:
        """Count one violation a row of a log."""
        self.add(kind, log.stream[rows], log.version[rows], log.event[rows], detail)

    def _identity(self, place: tuple[int, int], event: int) -> UUID | None:
        return event_id(self._base, event) if event >= 0 else self._foreign.get(place)
