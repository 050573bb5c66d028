"""Figures and tables of a run: frames in, things that a notebook shows out. Reads no files."""

from __future__ import annotations

from harness.figures.captions import About, about, caption
from harness.figures.contention import contention
from harness.figures.costing import costing
from harness.figures.deciding import (
    answer,
    answer_points,
    answer_tables,
    changes,
    declared,
    facts,
    reasons,
    requirements,
)
from harness.figures.delivery import delivery
from harness.figures.drawing import Drawing
from harness.figures.guarantees import checks, failures, kept, matrix, unreached
from harness.figures.heat import heat_map
from harness.figures.history import histories, history
from harness.figures.latency import latency
from harness.figures.over_time import over_time
from harness.figures.scaling import scaling
from harness.figures.searched import searched
from harness.figures.tabled import (
    answers,
    conflicts,
    contention_remark,
    costs,
    delays,
    flags,
    not_run,
    questions,
    rankings,
    remarks,
    settings,
    surroundings,
    verdicts,
)
from harness.figures.tables import Facts, Lines, Table
from harness.figures.throughput import throughput

__all__ = [
    "About",
    "Drawing",
    "Facts",
    "Lines",
    "Table",
    "about",
    "answer",
    "answer_points",
    "answer_tables",
    "answers",
    "caption",
    "changes",
    "checks",
    "conflicts",
    "contention",
    "contention_remark",
    "costing",
    "costs",
    "declared",
    "delays",
    "delivery",
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
    "questions",
    "rankings",
    "reasons",
    "remarks",
    "requirements",
    "scaling",
    "searched",
    "settings",
    "surroundings",
    "throughput",
    "unreached",
    "verdicts",
]
