"""`eslab calibrate`: does the generator measure what is there, and what do drivers take?"""

from __future__ import annotations

import json as json_
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.output import measures
from harness.cli.shared import RESULTS, Json, Out, Servers, awaited, catalogue
from harness.domain import formatting
from harness.domain.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from harness.load.calibration import CalibrationResult, QueueCheck
    from harness.render.table import Table
    from harness.run.driver_costs import DriverCost, Offered

QUEUE_S, TURN_S = 5.0, 2.0
NS_A_US = 1_000


def calibrate(
    drivers: Annotated[
        bool, typer.Option("--drivers", help="Measure what drivers cost by themselves instead.")
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.5, max=600, help="For each queue (5), or each turn of a driver (2)."),
    ] = None,
    stores: Annotated[
        str, typer.Option(help="With --drivers: these; the default designs if empty.")
    ] = "",
    workers: Annotated[
        int | None, typer.Option(min=1, max=1000, help="With --drivers: callers at once (8).")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--bytes", min=64, max=100_000, help="With --drivers: of an event (256)."),
    ] = None,
    expected: Annotated[
        str, typer.Option(help="With --drivers: the version of an append, exact (default) or any.")
    ] = "",
    out: Out = RESULTS,
    servers: Servers = "auto",
    json: Json = False,
) -> None:
    """Hold the generator against queues whose answer is known, or drivers against bare loops."""
    from rich.console import Console

    measures()
    console = Console(stderr=json, highlight=False)
    if drivers:
        from harness.run.driver_costs import CALLERS, EXPECTED, SIZE_BYTES, Offered

        if expected not in ("", "exact", "any"):
            raise BadInput(f"--expected: {expected!r}; allowed: exact, any")
        offered = Offered(workers or CALLERS, size or SIZE_BYTES, expected or EXPECTED)
        _compare_drivers(offered, stores, seconds or TURN_S, out, servers, console, json=json)
        return
    asked = {"--stores": stores, "--workers": workers, "--bytes": size, "--expected": expected}
    for flag, value in asked.items():
        if value:
            raise BadInput(f"{flag}: only with --drivers")
    outcomes = list(_measured(seconds or QUEUE_S, console))
    if json:
        rows = [{**asdict(outcome), "passed": outcome.passed} for outcome in outcomes]
        print(json_.dumps(rows, indent=2))
    else:
        from harness.render.table import as_rich

        console.print(as_rich(_table(outcomes)))
        console.print(_verdict(outcomes))
    raise typer.Exit(0 if all(outcome.passed for outcome in outcomes) else 1)


def _compare_drivers(
    offered: Offered,
    stores: str,
    seconds: float,
    out: Path,
    servers: str,
    console: Console,
    *,
    json: bool,
) -> None:
    from rich.text import Text

    from harness.render.table import as_rich
    from harness.run.driver_calibration import Request, calibrate_drivers, stores_with_a_bare_loop
    from harness.scenario.names import chosen

    known = catalogue()
    refs = chosen(stores, known) if stores else stores_with_a_bare_loop(known)
    request = Request(refs, known, offered, seconds, out, servers)

    def note(text: str) -> None:
        console.print(Text(text), soft_wrap=True)

    costs, path = awaited(calibrate_drivers(request, note))
    if json:
        print(json_.dumps([asdict(cost) for cost in costs], indent=2))
        return
    console.print(as_rich(_drivers_table(costs, offered)))
    note(f"kept for the runs to come: {path}")


_DRIVER_HEADS = (
    "lab\n/s", "bare\n/s", "lab\nµs", "of it\nsystem", "bare\nµs", "of it\nsystem", "bare ÷ lab"
)  # fmt: skip


def _drivers_table(costs: Sequence[DriverCost], offered: Offered) -> Table:
    from harness.render.table import Column, Table, numbers

    rows = [
        (
            cost.key,
            *(formatting.number(side.per_s) for side in (cost.lab, cost.bare)),
            *(
                formatting.number(us)
                for side in (cost.lab, cost.bare)
                for us in (side.cpu_us, side.kernel_us)
            ),
            f"{cost.share:.2f} ({cost.share_least:.2f} – {cost.share_most:.2f})",
        )
        for cost in costs
    ]
    caption = f"client CPU an append, {offered.callers} callers, {offered.size_bytes} bytes"
    return Table((Column("store", most=28), *numbers(*_DRIVER_HEADS, whole=False)), rows, caption)


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
    excused = sum(outcome.excused for outcome in outcomes)
    why = f"; {excused} of the others while the generator had no core" if excused else ""
    return f"{counts}{why} (pacer: {outcomes[0].pacer})"
