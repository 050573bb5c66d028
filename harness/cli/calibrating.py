"""`eslab calibrate`: does the generator measure what is there?"""

from __future__ import annotations

import asyncio
import json as json_
from collections.abc import Iterator
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from harness import words
from harness.calibration import Check, Outcome, calibrate, checks
from harness.calibration.checking import ERROR_P50_MAX_NS, ERROR_P99_MAX_NS
from harness.cli.running import event_loop

NS_A_US = 1_000


def run(*, seconds: float, json: bool) -> int:
    """Drive every queue, print recursion, theory and measurement; 1 if any is missed."""
    console = Console(stderr=json, highlight=False)
    outcomes = list(_measured(seconds, console))
    if json:
        rows = [{**asdict(outcome), "passed": outcome.passed} for outcome in outcomes]
        print(json_.dumps(rows, indent=2))
    else:
        console.print(_table(outcomes))
        console.print(_verdict(outcomes))
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _measured(seconds: float, console: Console) -> Iterator[Outcome]:
    queues = list(checks())
    for number, check in enumerate(queues, start=1):
        status = console.status(f"{number}/{len(queues)} queues: {_name(check)}")
        with status, asyncio.Runner(loop_factory=event_loop()) as loop:
            yield loop.run(calibrate(check, seconds=seconds))


def _name(check: Check) -> str:
    servers = "1 server" if check.servers == 1 else f"{check.servers} servers"
    return f"{check.service} service, {servers}, {check.load:.0%} load"


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.title = "response times in µs: as they are (recursion), as measured, and how far off"
    table.add_column("queue", no_wrap=True)
    for name in ("p50", "meas.", "p99", "meas.", "±p50", "±p99", "wait", "theory"):
        table.add_column(name, justify="right", no_wrap=True)
    for outcome in outcomes:
        check = outcome.check
        table.add_row(f"{check.service} {check.servers} × {check.load:.0%}", *_cells(outcome))
    return table


def _cells(outcome: Outcome) -> Iterator[str]:
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
        yield words.MISSING if value_ns is None else f"{value_ns / NS_A_US:.0f}"


def _verdict(outcomes: list[Outcome]) -> str:
    missed = [outcome for outcome in outcomes if not outcome.passed]
    goal = f"p50 ≤ {words.duration(ERROR_P50_MAX_NS)} and p99 ≤ {words.duration(ERROR_P99_MAX_NS)}"
    told = f"{len(outcomes) - len(missed)} of {len(outcomes)} queues measured within {goal}"
    return f"{told} (pacer: {outcomes[0].pacer})"
