"""What the searches of a run found."""

from __future__ import annotations

import pandas as pd

from harness.summary.ranking import GROUP


def searched_rates(trials: pd.DataFrame) -> pd.DataFrame:
    """A row a trial whose rate was searched for: `held_per_s`, and `failed_per_s` above it."""
    found = trials[trials["rate_found"] == "search"]
    return found[[*GROUP, "key", "repetition", "flags"]].assign(
        held_per_s=found["rate_per_s"].astype("float64"),
        failed_per_s=found["failed_rate_per_s"].astype("float64"),
    )
