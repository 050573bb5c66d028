"""The ways from client to server: where stores that are ranked together are reached differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

_NO_SERVER = ("", "none")


def ways_that_differ(trials: pd.DataFrame, manifest: Mapping[str, Any]) -> Iterator[str]:
    """A sentence a durability class whose servers were reached by different kinds of path.

    The kind is what the run recorded (unix socket, loopback, docker-proxy, …), beside it where
    the server came from; that alone for runs that recorded none. Stores without a server, which
    are libraries in the client's own process, have no path.
    """
    served = trials[~trials["provider"].fillna("").isin(_NO_SERVER)]
    for durability in served["durability"].unique():
        mine = served[served["durability"] == durability]
        ways: dict[str, list[str]] = {}
        for _, row in mine[["store", "provider"]].drop_duplicates().iterrows():
            technology, provider = str(row["store"]), str(row["provider"])
            ways.setdefault(_way(technology, provider, manifest), []).append(technology)
        if len(ways) > 1:
            told = "; ".join(f"{', '.join(stores)}: {way}" for way, stores in ways.items())
            yield (
                f"{durability or 'unknown durability'}: servers were reached in different ways"
                f" ({told}). The way from the client to the server is part of each number."
            )


def _way(technology: str, provider: str, manifest: Mapping[str, Any]) -> str:
    """`loopback (native)`; only the provider's name where no path was recorded."""
    about = manifest.get("servers", {}).get(technology, {})
    kinds = list(dict.fromkeys(str(path.get("kind", "")) for path in about.get("paths", ())))
    known = " and ".join(filter(None, kinds))
    return f"{known} ({provider})" if known else provider
