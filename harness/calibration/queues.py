"""Queues whose response times are known: by recursion for each customer, by theory on average.

Source: Lindley (1952) for one server, Kiefer and Wolfowitz (1955) for several; Erlang C.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]


def departures(arrivals: Seconds, services: Seconds, servers: int = 1) -> Seconds:
    """When each customer leaves a first-come-first-served queue. All in one unit of time."""
    free = [0.0] * servers
    left = np.empty(len(arrivals))
    for number, (arrival, service) in enumerate(
        zip(arrivals.tolist(), services.tolist(), strict=True)
    ):
        left[number] = max(arrival, free[0]) + service
        heapq.heapreplace(free, float(left[number]))
    return left


def mean_wait(load: float, service: float, servers: int, *, exponential: bool) -> float | None:
    """Mean time in the queue before service, by theory, for Poisson arrivals.

    `load` is the share of the servers' time that is asked for. Exact for M/M/c and for M/D/1;
    `None` where theory has no formula (M/D/c).
    """
    if exponential:
        return _erlang_c(load * servers, servers) * service / (servers * (1 - load))
    return load * service / (2 * (1 - load)) if servers == 1 else None


def draw(kind: str, mean: float, count: int, seed: Sequence[int]) -> Seconds:
    """Service times: `fixed`, `exponential`, or `stall` (fixed, and one of a whole second)."""
    if kind == "exponential":
        return np.random.default_rng(seed).exponential(mean, count)
    services = np.full(count, mean)
    if kind == "stall":
        services[count // 2] = 1.0
    return services


def _erlang_c(offered: float, servers: int) -> float:
    """Probability that a customer of M/M/c waits."""
    below = sum(offered**k / math.factorial(k) for k in range(servers))
    all_busy = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return all_busy / (below + all_busy)
