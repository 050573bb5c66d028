"""A run as one HTML page, with sections in the order in which a reader needs them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import count
from typing import Any, Protocol

import pandas as pd
from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from harness.analysis import summary
from harness.render import figures
from harness.render.figures import Drawing
from harness.results import Run

_ID = re.compile(r'(\bid="|href="#|url\(#)')


class Html(Protocol):
    """A table, a list of sentences or facts. It escapes its text."""

    def _repr_html_(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Part:
    """Pieces that belong together. With a text in `folded` they are closed under that line."""

    pieces: Sequence[Markup]
    folded: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, an introduction on how to read the parts, and the parts."""

    name: str
    title: str
    parts: Sequence[Part]
    intro: str = ""


class Pieces:
    """Makes the pieces of one page, with identifiers in figures that are unique on the page."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def part(self, shown: Iterable[Html | Drawing], folded: str = "") -> Iterator[Part]:
        """One part, or none if there is nothing to show."""
        pieces = tuple(self._piece(each) for each in shown)
        if pieces:
            yield Part(pieces, folded)

    def _piece(self, shown: Html | Drawing) -> Markup:
        if isinstance(shown, Drawing):
            unique = _ID.sub(rf"\g<1>f{next(self._numbers)}-", shown.svg())
            return Markup(f"<figure>{unique}</figure>")  # noqa: S704 — matplotlib escapes its text
        html = shown._repr_html_()
        return Markup(f'<div class="text">{html}</div>')  # noqa: S704 — and so do our tables


def reproducing(run: Run) -> Section:
    """The section with the commands to copy and the scenario's text."""
    scenario = run.manifest.get("scenario", {})
    commands = _pre("\n".join(_commands(run.manifest)))
    text = _pre(str(scenario.get("text", "")))
    return Section(
        "reproduce", "How to reproduce",
        (Part((commands,)), Part((text,), f"The scenario, {scenario.get('file', '')}")),
        intro=f"The same seed, {scenario.get('seed', '')}, gives the same operations in the same "
        "order; times depend on your machine.",
    )  # fmt: skip


def _commands(manifest: dict[str, Any]) -> list[str]:
    commit = manifest.get("commit", {})
    dirty = "  # with uncommitted changes, which are lost" if commit.get("dirty") else ""
    checkout = [f"git checkout {commit['commit']}{dirty}"] if commit.get("commit") else []
    return [*checkout, "make setup", f".venv/bin/{manifest.get('command', 'eslab run')}"]


def _pre(text: str) -> Markup:
    return Markup('<pre tabindex="0">{}</pre>').format(escape(text))


_OPEN_POINTS = 3
"""Up to this many points have open figures; with more, each point's figures are folded."""

_BY_RULE = (
    " “By rule” is computed from the sizes by the service's published rule; the other units are"
    " those that the server reported."
)


def sections(run: Run) -> list[Section]:
    """The sections of the page, the answer first, without empty sections."""
    return [section for section in _Page(run).all() if section.parts]


class _Page:
    def __init__(self, run: Run) -> None:
        self.run, self.trials = run, summary.shown(run.trials)
        require = run.manifest.get("scenario", {}).get("require", {})
        absent = summary.not_run(self.trials, run.manifest)
        self.asked = summary.Asked(require, summary.matrix(run.conformance), absent)
        self.about = figures.about(run.manifest, self.trials)
        self.faults = summary.faults_of(self.trials, run.faults)
        self.pieces = Pieces()

    def all(self) -> Iterator[Section]:
        """The sections in order."""
        if len(self.faults):
            yield self._trouble()
        yield self._answer()
        yield self._changes()
        if self.asked.require:
            yield self._requirements()
        yield self._guarantees()
        yield self._rules()
        yield self._figures()
        yield self._rankings()
        yield self._costs()
        yield self._caveats()
        yield self._surroundings()
        yield reproducing(self.run)

    def _trouble(self) -> Section:
        trials, faults = self.trials, self.faults
        lines = figures.time_lines(trials, self.run.intervals, faults, self.about)
        parts = [
            *self.pieces.part(
                [figures.trouble_answer(trials, faults), figures.trouble_by_store(trials, faults)]
            ),
            *self.pieces.part(lines),
            *self.pieces.part(figures.trouble_tables(faults), "Fault by fault"),
            *self.pieces.part(
                [figures.trouble_judged(trials), figures.trouble_evidence(faults)],
                "Judged by what was read back",
            ),
            *self.pieces.part([figures.trouble_unreached(faults)], "What was not reached"),
        ]
        return Section(
            "trouble", "Trouble", parts,
            intro="Faults struck while the load ran. After a time with + nothing was acknowledged"
            " any more. Lost is what was acknowledged and was not there when all was read back.",
        )  # fmt: skip

    def _answer(self) -> Section:
        sentences = figures.answer(self.trials, self.asked)
        tables = figures.answer_tables(self.trials, self.asked)
        points = figures.answer_points(self.trials, self.asked)
        many = self.trials["point"].nunique() > _OPEN_POINTS
        parts = [
            *self.pieces.part([sentences, *tables]),
            *self.pieces.part(points, "Point by point, with intervals" if many else ""),
        ]
        return Section("answer", "The answer", parts)

    def _changes(self) -> Section:
        sentences = figures.changes(self.trials, self.asked)
        return Section("changes", "What would change it", tuple(self.pieces.part([sentences])))

    def _requirements(self) -> Section:
        parts = [
            *self.pieces.part([figures.requirements(self.trials, self.asked)]),
            *self.pieces.part([figures.reasons(self.trials, self.asked)], "Why"),
        ]
        return Section(
            "requirements", "What is required", parts,
            intro="Promises are what each store declares, compared with what this run read back; "
            "rates and times come from open loads.",
        )  # fmt: skip

    def _guarantees(self) -> Section:
        measured = self.run.conformance
        parts = [
            *self.pieces.part([figures.kept(measured), *figures.durability(measured)]),
            *self.pieces.part(figures.checks(measured), "Check by check"),
            *self.pieces.part([*figures.failures(measured), *figures.unreached(measured)]),
            *self.pieces.part([figures.declared(self.trials)], "What each store declares"),
            *self.pieces.part([figures.facts(self.trials)], "Declared facts, not measured"),
            *self.pieces.part([figures.verdicts(self.trials)], "Verification of stored events"),
        ]  # fmt: skip
        return Section(
            "guarantees", "Guarantees", parts,
            intro="✓ holds, ✗ fails, ○ declared unsupported, ? not reached. A failure that the "
            "store did not promise is a fact about its design; a promised one is a defect."
            if measured else "",
        )  # fmt: skip

    def _rules(self) -> Section:
        ruled = summary.under_rules(self.trials)
        drawn: list[Drawing] = []
        if ruled["point"].nunique() > 1:
            drawn = [figures.rules(each, self.about) for each in summary.contention_groups(ruled)]
        parts = [*self.pieces.part(drawn), *self.pieces.part(figures.rules_tables(ruled))]
        return Section(
            "rules", "Rules across streams", parts,
            intro="Each design decides on what it has read of two streams. A conflict is false if"
            " nothing had come in between that mattered to the decision. Broken rules were found by"
            " reading the whole log after the trial: 0 in a design that protects them.",
        )  # fmt: skip

    def _figures(self) -> Section:
        others = summary.without_rules(self.trials)
        curves = [figures.scaling(alike, self.about)
                  for alike in summary.scaling_groups(others)]  # fmt: skip
        parts = list(self.pieces.part([*curves, *self._contention()]))
        points = [point for _, point in self.trials.groupby(summary.POINT, sort=False)]
        for point in points:
            label = ", ".join(str(point[name].iloc[0]) for name in ("load_label", "point_label"))
            folded = label.rstrip(", ") if len(points) > _OPEN_POINTS else ""
            parts += self.pieces.part(self._of_point(point), folded)
        return Section("figures", "Figures", parts)

    def _contention(self) -> Iterator[Drawing]:
        others = summary.without_rules(self.trials)
        if summary.contended_points(others) > 1:
            for alike in summary.contention_groups(others):
                yield figures.contention(alike, self.about)

    def _of_point(self, point: pd.DataFrame) -> Iterator[Drawing]:
        run = self.run
        material = figures.Material(point, run.intervals, run.kept_samples, self.about)
        drawn = (figure.draw(material) for figure in figures.point_figures())
        yield from (drawing for drawing in drawn if drawing is not None)

    def _rankings(self) -> Section:
        return Section(
            "rankings", "Rankings",
            tuple(self.pieces.part(figures.rankings(self.trials))),
            intro="Every store that ran, inside one durability class, load and point. A number is "
            "the median of the repetitions.",
        )  # fmt: skip

    def _costs(self) -> Section:
        others = summary.without_rules(self.trials)
        conflicts = summary.has_contention(others)
        billed = self.trials["write_units_by_rule_per_event"].notna().any()
        parts: list[Part] = [
            *self.pieces.part(figures.costs(self.trials)),
            *self.pieces.part(self._client_cpu()),
            *self.pieces.part([figures.conflicts(others)] if conflicts else []),
        ]
        return Section(
            "costs", "Costs an event", parts,
            intro="Counts scatter far less than times; only the µs of CPU are timed."
            + (_BY_RULE if billed else ""),
        )  # fmt: skip

    def _client_cpu(self) -> Iterator[Html]:
        shown = list(figures.client_cpu(self.trials))
        if any(isinstance(each, figures.Table) for each in shown):
            yield figures.Lines(
                (),
                empty="Where the clients' CPU time goes: driver, as in a bare loop on the same"
                " driver; lab, the rest outside the kernel; system, the kernel for both. The last"
                " column is the bare loop's share of all, its own part of the kernel included.",
            )
        yield from shown

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


def page(run: Run) -> str:
    """The page of a run. The template escapes text from the run; figures and tables escape theirs.

    Raises `BadInput` for a run whose parts do not fit together.
    """
    scenario = run.manifest.get("scenario", {})
    return str(
        _template().render(
            style=Markup(_read("page.css")),  # noqa: S704 — a file of this package
            script=Markup(_read("page.js")),  # noqa: S704 — likewise
            name=scenario.get("name", "run"),
            description=str(scenario.get("description", "")).strip(),
            run=run.manifest.get("run", ""),
            started=str(run.manifest.get("started_at", ""))[:16].replace("T", " "),
            sections=sections(run),
        )
    )


def _template() -> Template:
    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


def _read(name: str) -> str:
    return (files("harness.render.report") / name).read_text(encoding="utf-8")
