"""One figure of each kind, of made-up runs that have all that it can show."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from harness import results
from harness.analysis import summary
from harness.render import figures
from tests.made_run import POSTGRES, STORES, Made, MadeStore, made_run

LONG = "postgres:global-lock{notify=true,payload=bytea,synchronous_commit=local}"
POINTS = tuple({"streams.count": count} for count in (1, 16, 256, 1024))
CLOSE = tuple(
    MadeStore(f"postgres:variant-{letter}", service_us=300.0 + number)
    for number, letter in enumerate("abcdefgh")
)

SETS = {"different": STORES, "alike and long": (*CLOSE, replace(POSTGRES, key=LONG))}


def loaded(tmp_path, made: Made):
    run = results.load(made_run(tmp_path, made))
    return run, figures.about(run.manifest, run.trials)


def draw(folder, kind: str, stores) -> figures.Drawing:  # noqa: PLR0911 — one a kind
    """A figure of a run with all that it can show."""
    contended = kind in {"contention", "scaling", "rules"}
    made = Made(
        stores=stores,
        points=POINTS if contended else POINTS[:1],
        workload={"contention": "command", "rules": "boundary"}.get(kind, "append"),
        load="open" if kind in OPEN else "closed",
        subscribers=kind == "delivery",
        keep_samples=kind in {"latency", "heat_map"},
        operations=2_000 if contended else 20_000,
    )
    run, about = loaded(folder, made)
    match kind:
        case "throughput":
            return figures.throughput(run.trials, about)
        case "delivery":
            return figures.delivery(run.trials, about)
        case "latency":
            curves = summary.latency_curves(run.trials, run.kept_samples)
            return figures.latency(run.trials, curves, about)
        case "heat_map":
            return figures.heat_map(run.trials, run.kept_samples, about)
        case "scaling":
            (alike,) = summary.scaling_groups(run.trials)
            return figures.scaling(alike, about)
        case "over_time":
            return figures.over_time(run.trials, seconds_of(run.trials), about)
        case "searched":
            return figures.searched(searched(run.trials), about)
        case "costing":
            told = run.trials.assign(log_bytes_per_event=512.5)
            return figures.costing(told, "log_bytes_per_event", about)
    (powerful,) = (
        group
        for group in summary.contention_groups(run.trials)
        if (group["durability"] == POSTGRES.durability).all()
    )
    return (figures.rules if kind == "rules" else figures.contention)(powerful, about)


def seconds_of(trials: pd.DataFrame) -> pd.DataFrame:
    """Five seconds a trial, as intervals.parquet has them."""
    made = [
        {"trial_id": trial["trial_id"], "key": trial["key"], "second": second, "length_s": 1.0,
         "ok": 1_000 + 10 * second + place}
        for place, (_, trial) in enumerate(trials.iterrows())
        for second in range(5)
    ]  # fmt: skip
    return pd.DataFrame(made, columns=["trial_id", "key", "second", "length_s", "ok"])


def searched(trials: pd.DataFrame) -> pd.DataFrame:
    """The same trials as if their rates had been searched for."""
    rates = 1_000.0 + 10 * trials["repetition"].astype("float64")
    return trials.assign(rate_found="search", rate_per_s=rates, failed_rate_per_s=rates * 1.1)


OPEN = {"delivery", "searched"}
KINDS = pytest.mark.parametrize(
    "kind",
    ["throughput", "latency", "contention", "delivery", "scaling", "over_time", "searched",
     "heat_map", "costing", "rules"],
)  # fmt: skip
