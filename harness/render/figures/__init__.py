"""Figures and tables of a run: frames in, objects that a notebook shows out. Reads no files."""

from __future__ import annotations

import importlib
import pkgutil

from harness.render.figures.contention import contention
from harness.render.figures.costing import costing
from harness.render.figures.decision_tables import (
    answer,
    answer_points,
    answer_tables,
    changes,
    declared,
    facts,
    reasons,
    requirements,
)
from harness.render.figures.delivery import delivery
from harness.render.figures.guarantees import (
    checks,
    durability,
    failures,
    kept,
    matrix,
    unreached,
)
from harness.render.figures.heat import heat_map
from harness.render.figures.history import histories, history
from harness.render.figures.latency import latency
from harness.render.figures.over_time import over_time
from harness.render.figures.paragraphs import Facts, Lines
from harness.render.figures.rules import rules
from harness.render.figures.run_tables import (
    answers,
    client_cpu,
    conflicts,
    contention_remark,
    costs,
    delays,
    flags,
    not_run,
    questions,
    rankings,
    remarks,
    rules_remark,
    rules_tables,
    settings,
    surroundings,
    verdicts,
)
from harness.render.figures.scaling import scaling
from harness.render.figures.searched import searched
from harness.render.figures.sheet import About, Drawing, Material, PointFigure, about, caption
from harness.render.figures.throughput import throughput
from harness.render.figures.trouble import (
    time_line,
    time_lines,
    trouble_answer,
    trouble_by_store,
    trouble_evidence,
    trouble_judged,
    trouble_tables,
    trouble_unreached,
)
from harness.render.table import Table

__all__ = [
    "About",
    "Drawing",
    "Facts",
    "Lines",
    "Material",
    "Table",
    "about",
    "answer",
    "answer_points",
    "answer_tables",
    "answers",
    "caption",
    "changes",
    "checks",
    "client_cpu",
    "conflicts",
    "contention",
    "contention_remark",
    "costing",
    "costs",
    "declared",
    "delays",
    "delivery",
    "durability",
    "facts",
    "failures",
    "flags",
    "heat_map",
    "histories",
    "history",
    "kept",
    "latency",
    "matrix",
    "not_run",
    "over_time",
    "point_figures",
    "questions",
    "rankings",
    "reasons",
    "remarks",
    "requirements",
    "rules",
    "rules_remark",
    "rules_tables",
    "scaling",
    "searched",
    "settings",
    "surroundings",
    "throughput",
    "time_line",
    "time_lines",
    "trouble_answer",
    "trouble_by_store",
    "trouble_evidence",
    "trouble_judged",
    "trouble_tables",
    "trouble_unreached",
    "unreached",
    "verdicts",
]


def point_figures() -> list[PointFigure]:
    """The figures that a page has for each point, in their order, one a module of this package."""
    modules = (
        importlib.import_module(f"{__name__}.{each.name}")
        for each in pkgutil.iter_modules(__path__)
    )
    found = [module.FIGURE for module in modules if hasattr(module, "FIGURE")]
    return sorted(found, key=lambda each: each.place)
