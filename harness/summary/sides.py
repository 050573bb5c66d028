"""Runs of pairs: base and candidate may be the same store, and are still two things."""

from __future__ import annotations

import pandas as pd

from harness.summary.requirements import strongest_first


def sided(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials with the side in the key, `postgres (base)`, where a key was run on both."""
    on_both = trials.groupby("key")["side"].transform("nunique") > 1
    named = trials["key"] + " (" + trials["side"] + ")"
    return trials.assign(key=trials["key"].where(~on_both, named))


def shown(trials: pd.DataFrame) -> pd.DataFrame:
    """As page, notebooks and exports show them: what survives most first, with sides."""
    return sided(strongest_first(trials))


def candidates_of_pairs(trials: pd.DataFrame) -> pd.DataFrame:
    """What is to be remembered of a run: without the base of its pairs, if it has pairs."""
    return trials[trials["side"] != "base"]
