"""How long subscribers waited for an event after its append was acknowledged."""

from __future__ import annotations

import pandas as pd

from harness.summary.ranking import GROUP, unranked_reason

_PERCENTILES = ("p50", "p90", "p99", "p999")


def has_deliveries(trials: pd.DataFrame) -> bool:
    """Whether any trial had subscribers that were handed something."""
    return bool((trials["delivery_count"].fillna(0) > 0).any())


def delivery(trials: pd.DataFrame) -> pd.DataFrame:
    """A row a trial with subscribers: `count`, `p50_ns`, `p90_ns`, `p99_ns`, `p999_ns`, `max_ns`.

    Negative where a subscriber was faster than the answer to the writer.
    """
    with_subscribers = trials[trials["delivery_count"].fillna(0) > 0]
    columns = {f"{label}_ns": with_subscribers[f"delivery_{label}_ns"] for label in _PERCENTILES}
    return with_subscribers[[*GROUP, "key", "repetition", "flags", "valid"]].assign(
        count=with_subscribers["delivery_count"],
        **columns,
        max_ns=with_subscribers["delivery_max_ns"],
        reason=[unranked_reason(trial) for _, trial in with_subscribers.iterrows()],
    )
