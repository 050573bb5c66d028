"""What drivers cost by themselves: remembered, told apart in a trial's row, and shown."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from rich.console import Console

from harness import results, stores
from harness.domain.errors import BadInput
from harness.domain.flags import Flag, FlagCode
from harness.render import figures
from harness.render.ranking import print_ranking
from harness.run import driver_costs
from harness.run.driver_costs import ClientCosts, DriverCost, DriverPart, Offered
from tests.made_run import MEMORY, POSTGRES, Made, MadeStore, made_run

from .scenarios import SMALL, loaded

COST = DriverCost(
    key="postgres",
    measured_at="2026-01-02T03:04:05+00:00",
    offered=Offered(4, 256, "any"),
    lab=ClientCosts(5_000.0, 80.0, 20.0),
    bare=ClientCosts(6_000.0, 60.0, 16.0),
    user_share=0.75,
    share=0.76,
    share_least=0.7,
    share_most=0.8,
    turns=3,
)


@dataclass
class Metrics:
    """What is asked of a trial's numbers."""

    processes: int = 1
    event_costs: dict[str, float] = field(
        default_factory=lambda: {
            "generator_cpu_per_event_us": 100.0, "generator_kernel_per_event_us": 20.0
        }
    )  # fmt: skip


def part_of(trial, *, known=(COST,), metrics=None) -> DriverPart:
    kind = stores.kinds()[trial.store.technology]
    return driver_costs.driver_part(known, kind, trial, metrics or Metrics())


@pytest.fixture
def trial(tmp_path: Path):
    text = SMALL.replace("[memory, sqlite, null]", "[postgres]")
    trial = loaded(tmp_path, text).trials[0]
    return replace(trial, load=replace_workers(trial.load, 4))


def replace_workers(load, workers):
    return load.model_copy(update={"workers": workers})


def test_the_newest_line_of_a_store_and_offer_on_this_machine_is_known(tmp_path: Path):
    older, other = replace(COST, share=0.5), replace(COST, offered=Offered(32, 256, "any"))
    assert driver_costs.recall(tmp_path) == []
    driver_costs.remember(tmp_path, "here", [older, other])
    driver_costs.remember(tmp_path, "there", [older])
    path = driver_costs.remember(tmp_path, "here", [COST])
    assert driver_costs.newest(driver_costs.recall(tmp_path), "here") == [COST, other]
    for damage in ("{", "[]", '{"environment": "here"}', path.read_text().replace("0.76", "true")):
        path.write_text(damage)
        with pytest.raises(BadInput, match="remove it, or measure again"):
            driver_costs.recall(tmp_path)


def test_a_trials_cpu_outside_the_kernel_has_the_share_of_the_bare_loop(trial):
    assert part_of(trial) == DriverPart(60.0, 0.76)
    eight = replace(trial, load=replace_workers(trial.load, 8))
    assert part_of(eight, metrics=Metrics(processes=2)) == DriverPart(60.0, 0.76)
    dearer = replace(COST, user_share=1.2, share=1.1)
    assert part_of(trial, known=[dearer]) == DriverPart(80.0, 1.0)


def test_what_is_not_known_says_how_to_measure_it_or_why_nobody_can(trial):
    eight = replace(trial, load=replace_workers(trial.load, 8))
    told = "`eslab calibrate --drivers --workers 8 --expected any` measures it"
    assert part_of(eight) == DriverPart(driver_unknown=told)
    fitted = replace(eight, fitting=(Flag(FlagCode.WITHOUT_VERSIONS),))
    assert part_of(fitted).driver_unknown == "`eslab calibrate --drivers --workers 8` measures it"
    row = replace(eight, store=replace(trial.store, variant="row"))
    assert part_of(row).driver_unknown.endswith(
        "--expected any --stores 'postgres:row'` measures it"
    )
    template = replace(trial, store=replace(trial.store, variant="template"))
    assert part_of(template).driver_unknown == "no bare loop for this design"
    memory = replace(trial, store=replace(trial.store, technology="memory"))
    assert part_of(memory) == DriverPart()
    reading = replace(trial, workload="read-stream")
    assert "closed loads of single appends" in part_of(reading).driver_unknown


def test_the_parts_are_shown_and_what_is_not_known_is_one_line(tmp_path: Path):
    cells = {"generator_cpu_per_event_us": 100.0, "generator_kernel_per_event_us": 20.0}
    known = {"driver_cpu_per_event_us": 60.0, "driver_share": 0.76}
    unknown = {"driver_unknown": "`eslab calibrate --drivers --workers 8` measures it"}
    made = (
        replace(POSTGRES, row=cells | known),
        MadeStore("kafka", POSTGRES.durability, row=cells | unknown),
        MadeStore("dynamodb", POSTGRES.durability, row=cells | unknown),
        MEMORY,
    )
    trials = results.load(made_run(tmp_path, Made(made, keep_samples=False, operations=500))).trials
    table, lines = figures.client_cpu(trials)
    assert [row for row in table.rows if row[0] == "postgres"] == [
        ("postgres", "100", "60", "20", "20", "76 %")
    ]
    assert [row for row in table.rows if row[0] == "kafka"] == [
        ("kafka", "100", "–", "–", "20", "–")
    ]
    line = f"client CPU is not split: kafka, dynamodb: {unknown['driver_unknown']}"
    assert lines.lines == [line]
    (alone,) = figures.client_cpu(trials[trials["key"] != "postgres"])
    assert alone.lines == [line]
    out = io.StringIO()
    print_ranking(trials, Console(file=out, width=80))
    shown = out.getvalue()
    _, _, told = shown.partition("client CPU an event")
    assert "postgres" in told
    assert "kafka" not in told
