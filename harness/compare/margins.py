"""`throughput=5% p50=10% wal=1%`: margins as they are written on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.compare.metrics import METRICS, Metric, named
from harness.errors import BadInput

LEAST, MOST = 0.0, 1.0
"""As shares: a margin is more than 0 % and less than 100 %."""


def parse_margins(texts: Sequence[str]) -> tuple[Metric, ...]:
    """All metrics, those named with their margins replaced and gated. Raises `BadInput`."""
    given = margins_given(texts)
    return tuple(
        replace(metric, margin=given[metric.name], gated=True) if metric.name in given else metric
        for metric in METRICS
    )


def margins_given(texts: Sequence[str]) -> dict[str, float]:
    """Shares by the names of their metrics, separated by spaces or commas. Raises `BadInput`."""
    given: dict[str, float] = {}
    for text in " ".join(texts).replace(",", " ").split():
        name, share = _margin(text)
        if name in given:
            raise BadInput(f"--margin {text}: {name} is given twice")
        given[name] = share
    return given


def _margin(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    if named(name) is None:
        allowed = ", ".join(metric.name for metric in METRICS)
        raise BadInput(f"--margin {text}: unknown metric {name!r}; allowed: {allowed}")
    number = value.removesuffix("%")
    try:
        share = float(number) / 100 if value.endswith("%") else float("nan")
    except ValueError:
        share = float("nan")
    if not LEAST < share < MOST:
        message = f"expected a share between 0 and 100 %, for example {name}=5%"
        raise BadInput(f"--margin {text}: {message}")
    return name, share
