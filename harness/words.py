"""Numbers as people read them."""

from __future__ import annotations

import math

_NS_A_US = 1_000
_NS_A_MS = 1_000_000
_NS_A_S = 1_000_000_000
_WHOLE_FROM = 10
MISSING = "–"


def duration(ns: float | None) -> str:
    """`87 µs`, `1.2 ms`, `3.4 s`, or a dash where there is none to show."""
    if ns is None or math.isnan(ns):
        return MISSING
    for unit_ns, unit in ((_NS_A_S, "s"), (_NS_A_MS, "ms")):
        if abs(ns) >= unit_ns:
            return f"{_three_digits(ns / unit_ns)} {unit}"
    return f"{_three_digits(ns / _NS_A_US)} µs"


def rate(per_s: float | None) -> str:
    """`12,345/s`."""
    if per_s is None or math.isnan(per_s):
        return MISSING
    return f"{per_s:,.0f}/s" if abs(per_s) >= _WHOLE_FROM else f"{per_s:.2g}/s"


def ratio(value: float | None) -> str:
    """`0.53 ×`, `12 ×`."""
    if value is None or math.isnan(value):
        return MISSING
    return f"{value:.2f} ×" if abs(value) < _WHOLE_FROM else f"{value:,.0f} ×"


def clock(seconds: float) -> str:
    """`1:05` of minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _three_digits(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1_000 else f"{value:,.0f}"  # noqa: PLR2004 — 1e+03 reads badly
