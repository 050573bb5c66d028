"""Verdict flags in plain words: gathered from trials, merged, and explained."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")

EXPLANATIONS: Mapping[str, str] = {
    "generator-bound": "the load generator was the limit, not the store: read the number as “at "
    "least this much”",
    "a whole core for store and generator": "the store runs in the generator's own process: "
    "the two share a core, and a faster one would show more",
    "accounting does not balance": "some scheduled operations have no outcome, so the trial counts "
    "for nothing",
    "operations failed": "refused, timed out or unanswered operations are not in the throughput; "
    "the times are those of the operations that ended well",
    "warm-up not steady": "the state changed while it was measured, so the numbers depend on how "
    "long that was: warm up or measure for longer, and look at the intervals",
    "achieved under": "the store did not keep up with the offered rate; response times grow with "
    "the length of the run",
    "broke a declared guarantee": "verification read back something that the variant promises "
    "cannot happen: a defect, and the trial is not ranked",
    "in what it kept": "verification found faults that this design does not promise to avoid: "
    "facts to know before adopting it",
    "fewer than 5": "too few repetitions to tell a small difference from luck",
    "uncommitted changes": "the code that ran is not quite the commit that is named",
    "swapping": "memory was short; times may contain the disk's",
    "busy with something else": "other programs had the CPU at times; expect wider scatter",
    "behind docker-proxy": "a process of the engine carries every byte to these servers: some "
    "0.1 ms a round trip that other paths do not have",
    "hypervisor took": "other virtual machines had the CPU at times; expect wider scatter",
    "during the run": "the generator alone, without a store, did not go on at the rate at which it "
    "began: trials early and late in the run are not quite comparable",
    "consumed an event": "what a service that bills by use would count; no fault",
    "left out": "the numbers beside it come from the other repetitions",
}
"""What a flag means for the reader, found by words in it."""


def explanation(flag: str) -> str:
    """What a flag means for the reader; empty for one that explains itself."""
    return next((text for words, text in EXPLANATIONS.items() if words in flag), "")


def listed(text: object) -> list[str]:
    """The flags in a `flags` cell."""
    return list(json.loads(str(text))) if text else []


def merged(lists: Sequence[Sequence[str]]) -> list[str]:
    """The flags of several repetitions as one list: alike ones once, numbers as a range.

    A flag that not every repetition has says how many of them have it.
    """
    found: dict[str, list[str]] = {}
    for flags in lists:
        for flag in flags:
            found.setdefault(_NUMBER.sub("#", flag), []).append(flag)
    return [_one(alike, of=len(lists)) for alike in found.values()]


def by_flag(trials: pd.DataFrame) -> pd.DataFrame:
    """A row a flag: `flag`, the `stores` (keys) that have it, and its `explanation`."""
    found: dict[str, dict[str, list[str]]] = {}
    for key, text in zip(trials["key"], trials["flags"], strict=True):
        for flag in listed(text):
            found.setdefault(_NUMBER.sub("#", flag), {}).setdefault(str(key), []).append(flag)
    rows = [
        {"flag": _span(_all(stores.values())), "stores": ", ".join(sorted(stores))}
        for stores in found.values()
    ]
    frame = pd.DataFrame(rows, columns=["flag", "stores"])
    return frame.assign(explanation=[explanation(flag) for flag in frame["flag"]])


def run_flags(manifest: Mapping[str, Any]) -> list[str]:
    """The flags of the whole run, and that it was cut short if it was."""
    flags = [str(flag) for flag in manifest.get("flags", [])]
    status = manifest.get("status", "done")
    return flags if status == "done" else [f"the run did not end in order ({status})", *flags]


def _one(alike: Sequence[str], *, of: int) -> str:
    text = _span(alike)
    return text if len(alike) >= of else f"{text} ({len(alike)} of {of} repetitions)"


def _span(alike: Sequence[str]) -> str:
    """`3 findings` and `7 findings` as `3–7 findings`; each number that differs, as a span."""
    places = zip(*(_NUMBER.findall(flag) for flag in alike), strict=True)
    spans = iter([_least_to_most(texts) for texts in places])
    return _NUMBER.sub(lambda _: next(spans), alike[0])


def _least_to_most(texts: Sequence[str]) -> str:
    ordered = sorted(texts, key=lambda text: float(text.replace(",", "")))
    return ordered[0] if ordered[0] == ordered[-1] else f"{ordered[0]}–{ordered[-1]}"


def _all(lists: Iterable[Sequence[str]]) -> list[str]:
    return [flag for each in lists for flag in each]
