"""`eslab calibrate`: does the generator measure what is there?"""

from __future__ import annotations

import json as json_
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.output import measures
from harness.cli.shared import Json, awaited
from harness.domain import formatting

if TYPE_CHECKING:
    from rich.console import Console

    from harness.load.calibration import CalibrationResult, QueueCheck
    from harness.render.table import Table

NS_A_US = 1_000


def calibrate(
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="For each queue.")] = 5.0,
    json: Json = False,
) -> None:
    """Hold the generator against queues whose answer is known, operation by operation."""
    from rich.console import Console

    from harness.render.table import as_rich

    measures()
    console = Console(stderr=json, highlight=False)
    outcomes = list(_measured(seconds, console))
    if json:
        rows = [{**asdict(outcome), "passed": outcome.passed} for outcome in outcomes]
        print(json_.dumps(rows, indent=2))
    else:
        console.print(as_rich(_table(outcomes)))
        console.print(_verdict(outcomes))
    raise typer.Exit(0 if all(outcome.passed for outcome in outcomes) else 1)


def _measured(seconds: float, console: Console) -> Iterator[CalibrationResult]:
    from harness.load import calibration

    queues = list(calibration.queue_checks())
    for number, check in enumerate(queues, start=1):
        with console.status(f"{number}/{len(queues)} queues: {_name(check)}"):
            outcome = awaited(calibration.calibrate(check, seconds=seconds))
        yield outcome


def _name(check: QueueCheck) -> str:
    servers = "1 server" if check.servers == 1 else f"{check.servers} servers"
    return f"{check.service} service, {servers}, {check.load:.0%} load"


def _table(outcomes: list[CalibrationResult]) -> Table:
    from harness.render.table import Column, Table, numbers

    return Table(
        (
            Column("queue", whole=True),
            *numbers("p50", "meas.", "p99", "meas.", "±p50", "±p99", "wait", "theory"),
        ),
        [(_queue(outcome.check), *_cells(outcome)) for outcome in outcomes],
        "response times in µs: as they are (recursion), as measured, and how far off",
    )


def _queue(check: QueueCheck) -> str:
    return f"{check.service} {check.servers} × {check.load:.0%}"


def _cells(outcome: CalibrationResult) -> Iterator[str]:
    for value_ns in (
        outcome.expected_p50_ns,
        outcome.measured_p50_ns,
        outcome.expected_p99_ns,
        outcome.measured_p99_ns,
        outcome.error_p50_ns,
        outcome.error_p99_ns,
        outcome.expected_wait_ns,
        outcome.theory_wait_ns,
    ):
        yield formatting.MISSING if value_ns is None else f"{value_ns / NS_A_US:.0f}"


def _verdict(outcomes: list[CalibrationResult]) -> str:
    from harness.load.calibration import ERROR_P50_MAX_NS, ERROR_P99_MAX_NS

    passed = sum(outcome.passed for outcome in outcomes)
    p50, p99 = formatting.duration(ERROR_P50_MAX_NS), formatting.duration(ERROR_P99_MAX_NS)
    goal = f"p50 ≤ {p50} and p99 ≤ {p99}"
    counts = f"{passed} of {len(outcomes)} queues measured within {goal}"
    return f"{counts} (pacer: {outcomes[0].pacer})"
