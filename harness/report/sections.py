"""The sections of the page, in the order in which a reader needs them."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from harness import figures, summary
from harness.figures import Drawing
from harness.report.pieces import Html, Part, Pieces, Section
from harness.report.reproducing import reproducing
from harness.results import Run

_OPEN_POINTS = 3
"""Figures of so many points stand open; those of more are folded away, a line a point."""

_BY_RULE = (
    " “By rule” is what the service's published rule says of these sizes, beside what the server"
    " said that it consumed."
)


def sections(run: Run) -> list[Section]:
    """The answer first. A section without anything to show is left out."""
    return [section for section in _Page(run).all() if section.parts]


class _Page:
    def __init__(self, run: Run) -> None:
        self.run, self.trials = run, summary.shown(run.trials)
        require = run.manifest.get("scenario", {}).get("require", {})
        absent = summary.not_run(self.trials, run.manifest)
        self.asked = summary.Asked(require, summary.matrix(run.conformance), absent)
        self.about = figures.about(run.manifest, self.trials)
        self.pieces = Pieces()

    def all(self) -> Iterator[Section]:
        """In order."""
        yield self._answer()
        yield self._changes()
        if self.asked.require:
            yield self._requirements()
        yield self._guarantees()
        yield self._figures()
        yield self._rankings()
        yield self._costs()
        yield self._caveats()
        yield self._surroundings()
        yield reproducing(self.run)

    def _answer(self) -> Section:
        told = figures.answer(self.trials, self.asked)
        tables = figures.answer_tables(self.trials, self.asked)
        points = figures.answer_points(self.trials, self.asked)
        many = self.trials["point"].nunique() > _OPEN_POINTS
        parts = [
            *self.pieces.part([told, *tables]),
            *self.pieces.part(points, "Point by point, with intervals" if many else ""),
        ]
        return Section("answer", "The answer", parts)

    def _changes(self) -> Section:
        told = figures.changes(self.trials, self.asked)
        return Section("changes", "What would change it", tuple(self.pieces.part([told])))

    def _requirements(self) -> Section:
        parts = [
            *self.pieces.part([figures.requirements(self.trials, self.asked)]),
            *self.pieces.part([figures.reasons(self.trials, self.asked)], "Why"),
        ]
        return Section(
            "requirements", "What is required", parts,
            says="Promises are those that each store declares, held against what this run read "
            "back; rates and times are those of open loads.",
        )  # fmt: skip

    def _guarantees(self) -> Section:
        measured = self.run.conformance
        parts = [
            *self.pieces.part([figures.kept(measured)]),
            *self.pieces.part(figures.checks(measured), "Check by check"),
            *self.pieces.part([*figures.failures(measured), *figures.unreached(measured)]),
            *self.pieces.part([figures.declared(self.trials)], "What each store declares"),
            *self.pieces.part([figures.facts(self.trials)], "Declared facts, not measured"),
            *self.pieces.part([figures.verdicts(self.trials)], "What reading it all back found"),
        ]  # fmt: skip
        return Section(
            "guarantees", "Guarantees", parts,
            says="✓ holds, ✗ fails, ○ declared unsupported, ? not reached. A failure that nobody "
            "promised is a fact about the design; a promised one is a defect." if measured else "",
        )  # fmt: skip

    def _figures(self) -> Section:
        curves = [figures.scaling(alike, self.about)
                  for alike in summary.scaling_groups(self.trials)]  # fmt: skip
        parts = list(self.pieces.part([*curves, *self._contention()]))
        points = [point for _, point in self.trials.groupby(summary.POINT, sort=False)]
        for point in points:
            label = ", ".join(str(point[name].iloc[0]) for name in ("load_label", "point_label"))
            folded = label.rstrip(", ") if len(points) > _OPEN_POINTS else ""
            parts += self.pieces.part(self._of_point(point), folded)
        return Section("figures", "Figures", parts)

    def _contention(self) -> Iterator[Drawing]:
        if summary.contended_points(self.trials) > 1:
            for alike in summary.contention_groups(self.trials):
                yield figures.contention(alike, self.about)

    def _of_point(self, point: pd.DataFrame) -> Iterator[Drawing]:
        yield figures.throughput(point, self.about)
        if (point["rate_found"] == "search").any():
            yield figures.searched(point, self.about)
        curves = summary.latency_curves(point, self.run.kept_samples)
        yield figures.latency(point, curves, self.about)
        if summary.has_rate_over_time(point, self.run.intervals):
            yield figures.over_time(point, self.run.intervals, self.about)
        if summary.has_deliveries(point):
            yield figures.delivery(point, self.about)

    def _rankings(self) -> Section:
        return Section(
            "rankings", "Rankings",
            tuple(self.pieces.part(figures.rankings(self.trials))),
            says="Every store that ran, inside one durability class, load and point. A number is "
            "the median of the repetitions.",
        )  # fmt: skip

    def _costs(self) -> Section:
        conflicts = summary.has_contention(self.trials)
        billed = self.trials["write_units_by_rule_per_event"].notna().any()
        parts: list[Part] = [
            *self.pieces.part(figures.costs(self.trials)),
            *self.pieces.part([figures.conflicts(self.trials)] if conflicts else []),
        ]
        return Section(
            "costs", "Costs an event", parts,
            says="Counted, so they scatter far less than times do; only the µs of CPU are timed."
            + (_BY_RULE if billed else ""),
        )  # fmt: skip

    def _caveats(self) -> Section:
        shown: list[Html] = [
            figures.flags(self.trials, self.run.manifest),
            figures.remarks(self.trials, self.run.manifest),
            figures.not_run(self.trials, self.run.manifest),
        ]
        return Section("caveats", "Caveats", tuple(self.pieces.part(shown)))

    def _surroundings(self) -> Section:
        parts = [
            *self.pieces.part([figures.surroundings(self.run.manifest)]),
            *self.pieces.part([figures.settings(self.trials)], "Settings as read back"),
        ]
        return Section("surroundings", "Where this ran", parts)
