"""Stores that were asked for and of which no trial ended, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd


def not_run(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> dict[str, str]:
    """By store key, in the order of the scenario: why it has no result. Empty if all have one."""
    ended = set(trials.loc[trials["status"] == "done", "key"])
    return {key: _why(key, trials, manifest) for key in _asked_for(manifest) if key not in ended}


def told(absent: Mapping[str, str]) -> Iterator[str]:
    """One line for all of them, those of one reason together; none where there is nobody."""
    by_reason: dict[str, list[str]] = {}
    for key, why in absent.items():
        by_reason.setdefault(why, []).append(key)
    if by_reason:
        each = "; ".join(f"{', '.join(keys)} ({why})" for why, keys in by_reason.items())
        yield f"Not run: {each}."


def _asked_for(manifest: Mapping[str, Any]) -> list[str]:
    """As the manifest's order of trials has them; pairs of commits only know what was left out."""
    order = [str(key) for _, key in manifest.get("order", ())]
    return list(dict.fromkeys(order or manifest.get("left_out", {})))


def _why(key: str, trials: pd.DataFrame, manifest: Mapping[str, Any]) -> str:
    technology = key.partition("{")[0].partition(":")[0]
    left_out = manifest.get("left_out", {}).get(technology)
    if left_out:
        return _line(str(left_out).removeprefix(f"{technology}: "))
    mine = trials[trials["key"] == key]
    if mine.empty:
        return "the run ended before its turn"
    return _line(f"{mine['status'].iloc[0]}: {mine['message'].iloc[0]}").rstrip(": ")


def _line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
