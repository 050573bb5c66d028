"""Single operations of a trial, as a reader's first look at what every number is made of."""

from __future__ import annotations

import numpy as np
import pandas as pd

from harness.outcome import Outcome

_NS_A_MS = 1_000_000
_NS_A_S = 1_000_000_000


def operations(samples: pd.DataFrame) -> pd.DataFrame:
    """A row a measured operation: `op`, `outcome`, `attempts`, and in ms `queue`, `service`,
    `response`.

    Queue is intended start to sending, service sending to answer, response the two together.
    In a closed loop the intended start is when its client was free, so only service has a meaning.
    """
    measured = samples[samples["op"] >= 0].reset_index(drop=True)
    names = [Outcome(code).name.lower() for code in measured["outcome"]]
    intended, sent, done = (measured[f"{name}_ns"] for name in ("intended", "sent", "done"))
    return pd.DataFrame(
        {
            "op": measured["op"],
            "outcome": names,
            "attempts": measured["attempts"],
            "queue_ms": (sent - intended) / _NS_A_MS,
            "service_ms": (done - sent) / _NS_A_MS,
            "response_ms": (done - intended) / _NS_A_MS,
        }
    )


def heat(samples: pd.DataFrame, *, start: str, columns: int = 60, rows: int = 40) -> pd.DataFrame:
    """Operations counted by second and time: index `ns` (lower edges), columns seconds.

    `start` is sent_ns for service times, intended_ns for response times. Edges of times rise by
    the same ratio. Of what ended well; empty for fewer than two operations.
    """
    ok = (samples["op"] >= 0) & (samples["outcome"] == int(Outcome.OK))
    begun = samples.loc[ok, start].to_numpy(dtype=float)
    took_ns = samples.loc[ok, "done_ns"].to_numpy(dtype=float) - begun
    if len(took_ns) < 2:  # noqa: PLR2004 — no spread
        return pd.DataFrame()
    at_s = (begun - begun.min()) / _NS_A_S
    edges = np.geomspace(max(took_ns.min(), 1.0), max(took_ns.max(), took_ns.min() + 1), rows + 1)
    counts, _, seconds = np.histogram2d(took_ns, at_s, bins=(edges, columns))
    return pd.DataFrame(counts, index=edges[:-1], columns=seconds[:-1])
