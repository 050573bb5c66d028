"""What stores could do in a run, for later runs that offer a fraction of it."""

from __future__ import annotations

from pathlib import Path

from harness import results
from harness.scenario.model import OpenLoop, Scenario


def capacities_of(folder: str | Path) -> dict[tuple[str, str], float]:
    """Per second, by store and point, of the trials whose rate was a fraction of a capacity.

    Raises `BadInput` for what is no run.
    """
    trials = results.load(folder).trials
    fractions = trials[trials["rate_found"].eq("capacity").fillna(value=False)]
    first = fractions.dropna(subset=["capacity_per_s"]).drop_duplicates(["key", "point"])
    return {
        (str(key), str(point)): float(capacity_per_s)
        for key, point, capacity_per_s in first[["key", "point", "capacity_per_s"]].to_numpy()
    }


def offers_a_fraction(scenario: Scenario) -> bool:
    """Whether any trial's rate depends on what its store can do."""
    loads = [trial.load for trial in scenario.trials]
    return any(isinstance(load, OpenLoop) and load.of_capacity is not None for load in loads)
