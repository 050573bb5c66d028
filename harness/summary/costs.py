"""What an event costs in counts: they tell designs apart where times scatter too much."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from harness.summary.ranking import GROUP, that_count

COSTS: Mapping[str, str] = MappingProxyType(
    {
        "server_cpu_per_event_us": "server µs",
        "generator_cpu_per_event_us": "client µs",
        "round_trips_per_event": "trips",
        "commits_per_event": "commits",
        "syncs_per_event": "syncs",
        "log_bytes_per_event": "log bytes",
        "full_page_bytes_per_event": "page image bytes",
        "data_bytes_per_event": "data bytes",
        "read_units_per_event": "read units",
        "write_units_per_event": "write units",
        "write_units_by_rule_per_event": "… by rule",
    }
)
"""Columns of the trials, and what they are called at the head of a table."""


def costs(trials: pd.DataFrame) -> pd.DataFrame:
    """A row a store, point and durability class: medians over the repetitions that count.

    Empty where nothing was counted; only those columns of `COSTS` that any store here has.
    """
    counted = that_count(trials)
    medians = counted.groupby([*GROUP, "key"], sort=False)[list(COSTS)].median().reset_index()
    had = [name for name in COSTS if medians[name].notna().any()]
    return medians[[*GROUP, "key", *had]]
