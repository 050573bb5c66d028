"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping

_NS_A_US = 1_000
_NS_A_MS = 1_000_000
_NS_A_S = 1_000_000_000
_TIMES_FROM, _TIMES_MAX = 10, 1_000
_TWO_DECIMALS_FROM = 0.01
_WHOLE_FROM = 10
_MILLION = 1_000_000
_BOUNDED_WITHIN = 100
"""Times its lower end: a wider interval bounds nothing."""
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
    text = number(per_s)
    return text if text == MISSING else f"{text}/s"


def number(value: float | None) -> str:
    """`12,345`, `3.4`: a rate where the head of the column has the unit."""
    if value is None or math.isnan(value):
        return MISSING
    return f"{value:,.0f}" if abs(value) >= _WHOLE_FROM else f"{value:.2g}"


def short(value: float) -> str:
    """`0.25`, `40`, `2,000`, `1.5 M`: for ticks, so that a panel keeps its width."""
    if value >= _MILLION:
        return f"{value / _MILLION:g} M"
    return f"{value:,.0f}" if value >= _WHOLE_FROM else f"{value:.2g}"


def numbers(least: float | None, most: float | None) -> str:
    """`12,345 – 13,456`, or one dash where there are none."""
    told = number(least), number(most)
    return MISSING if MISSING in told else " – ".join(told)


def ratio(value: float | None) -> str:
    """`0.53 ×`, `0.003 ×`, `12 ×`."""
    if value is None or math.isnan(value):
        return MISSING
    decimals = 3 if 0 < abs(value) < _TWO_DECIMALS_FROM else 2
    return f"{value:,.{decimals if abs(value) < _WHOLE_FROM else 0}f} ×"


def ratio_between(value: float, low: float, high: float) -> str:
    """`0.46 × (0.35 – 0.58)`; without the brackets where there is no interval.

    One from 0.000 to 2,650,700 is what two repetitions give: it says that they are too few.
    """
    if math.isnan(low) or math.isnan(high):
        return ratio(value)
    if high > _BOUNDED_WITHIN * low:
        return f"{ratio(value)} (repeat more)"
    ends = " – ".join(ratio(end).removesuffix(" ×") for end in (low, high))
    return f"{ratio(value)} ({ends})"


def percent(share: float | None) -> str:
    """`4 %`."""
    return MISSING if share is None or math.isnan(share) else f"{share:.0%}".replace("%", " %")


def change(ratio: float | None) -> str:
    """A ratio as what it adds: `+12.3 %`, `−0.4 %`, `+81 %`; from ten times on as itself."""
    if ratio is None or math.isnan(ratio):
        return MISSING
    if ratio >= _TIMES_FROM:
        return f"{ratio:,.0f} ×" if ratio <= _TIMES_MAX else f"> {_TIMES_MAX:,} ×"
    share = (ratio - 1) * 100
    text = f"{share:+,.0f}" if abs(share) >= _WHOLE_FROM * 2 else f"{share:+.1f}"
    return text.replace("-", "−") + " %"


def span(least: int, most: int) -> str:
    """`1,234` or `1,234–5,678`: counts that need not differ."""
    return f"{least:,}" if least == most else f"{least:,}–{most:,}"


def point(values: Mapping[str, object]) -> str:
    """`workers=8, data=256`: the last words of the varied names and their values."""
    return ", ".join(f"{name.rsplit('.', 1)[-1]}={value}" for name, value in values.items())


def clock(seconds: float) -> str:
    """`1:05` of minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _three_digits(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1_000 else f"{value:,.0f}"  # noqa: PLR2004 — 1e+03 reads badly
