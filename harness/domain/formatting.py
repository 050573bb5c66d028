"""Formats numbers, and places of data, for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_NS_A_US = 1_000
_NS_A_MS = 1_000_000
_NS_A_S = 1_000_000_000
_TIMES_FROM, _TIMES_MAX = 10, 1_000
_TWO_DECIMALS_FROM = 0.01
_SHOWN_FROM = 0.005
"""Less than this is 0.00 with two decimals."""
_WHOLE_FROM = 10
_TIME_DIGITS = 3
_PERCENT = 0.01
_THOUSAND, _MILLION = 1_000, 1_000_000
_BOUNDED_WITHIN = 100
"""An interval is too wide to show if its ends differ by more than this factor."""
MISSING = "–"


def duration(ns: float | None) -> str:
    """`87 µs`, `1.2 ms`, `3.4 s`, `∞` for what never ended, or a dash for a missing value.

    Three digits; the unit is that of the rounded value, so that 999.6 µs is `1 ms`.
    """
    if ns is None or math.isnan(ns):
        return MISSING
    if math.isinf(ns):
        return "∞" if ns > 0 else "−∞"
    rounded = abs(_rounded(ns, _TIME_DIGITS))
    for unit_ns, unit in ((_NS_A_S, "s"), (_NS_A_MS, "ms")):
        if rounded >= unit_ns:
            return f"{_digits(ns / unit_ns, _TIME_DIGITS)} {unit}"
    return f"{_digits(ns / _NS_A_US, _TIME_DIGITS)} µs"


def rate(per_s: float | None) -> str:
    """`12,345/s`."""
    text = number(per_s)
    return text if text == MISSING else f"{text}/s"


def number(value: float | None) -> str:
    """`12,345`, `3.4`: a rate for a column with the unit in its header."""
    if value is None or math.isnan(value):
        return MISSING
    return "∞" if math.isinf(value) else _digits(value, 2)


def size(count: float) -> str:
    """`512 bytes`, `1.5 KiB`, `40 MiB`, `23.5 GiB`."""
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if _rounded(count / unit, _TIME_DIGITS) >= 1:
            return f"{_digits(count / unit, _TIME_DIGITS)} {name}"
    return "1 byte" if count == 1 else f"{count:,.0f} bytes"


def short(value: float) -> str:
    """`0.25`, `40`, `2,000`, `1.5 M`: short enough for the ticks of an axis."""
    if round(value) >= _MILLION:
        return f"{_digits(value / _MILLION, _TIME_DIGITS)} M"
    return _digits(value, 2)


def compact(count: int) -> str:
    """`312`, `4.3k`, `12k`, `1.2M`: a count in a narrow cell."""
    for unit, name in ((_MILLION, "M"), (_THOUSAND, "k")):
        if round(count / unit, 3) >= 1:
            scaled = count / unit
            tenths = round(scaled, 1)
            return f"{tenths:.1f}{name}" if tenths < _WHOLE_FROM else f"{scaled:,.0f}{name}"
    return str(count)


def unit_free(value: float) -> str:
    """`5500`, `0.5`, `2000000`: six digits without separators or an exponent."""
    return format(Decimal(f"{value:.6g}"), "f")


def numbers(least: float | None, most: float | None) -> str:
    """`12,345 – 13,456`, or one dash if an end is missing."""
    ends = number(least), number(most)
    return MISSING if MISSING in ends else " – ".join(ends)


def ratio(value: float | None) -> str:
    """`0.53 ×`, `0.003 ×`, `12 ×`."""
    if value is None or math.isnan(value):
        return MISSING
    decimals = 3 if 0 < abs(value) < _TWO_DECIMALS_FROM else 2
    return f"{value:,.{decimals if abs(round(value, 2)) < _WHOLE_FROM else 0}f} ×"


def ratio_between(value: float, low: float, high: float) -> str:
    """`0.46 × (0.35 – 0.58)`; without brackets if there is no interval.

    `(repeat more)` replaces an interval that is too wide: two repetitions can give one from 0.000
    to 2,650,700.
    """
    if math.isnan(low) or math.isnan(high):
        return ratio(value)
    if high > _BOUNDED_WITHIN * low:
        return f"{ratio(value)} (repeat more)"
    ends = " – ".join(ratio(end).removesuffix(" ×") for end in (low, high))
    return f"{ratio(value)} ({ends})"


def percent(share: float | None) -> str:
    """`4 %`; near the ends as exact as it takes not to show none or all: `0.03 %`, `99.7 %`."""
    if share is None or math.isnan(share):
        return MISSING
    if 0 < abs(share) < _PERCENT:
        return f"{_digits(share * 100, 1)} %"
    if 1 - _PERCENT < share < 1:
        return f"{_plain(round(100 - _rounded((1 - share) * 100, 1), 9))} %"
    return f"{share * 100:.0f} %"


def change(ratio: float | None) -> str:
    """A ratio as a change: `+12.3 %`, `−0.4 %`, `+81 %`; from ten times on, a ratio: `12 ×`."""
    if ratio is None or math.isnan(ratio):
        return MISSING
    if ratio >= _TIMES_FROM:
        return f"{ratio:,.0f} ×" if ratio <= _TIMES_MAX else f"> {_TIMES_MAX:,} ×"
    share = (ratio - 1) * 100
    whole = abs(round(share, 1)) >= _WHOLE_FROM * 2
    text = f"{share:+,.0f}" if whole else f"{share:+.1f}"
    return text.replace("-", "−") + " %"


def points(difference: float | None) -> str:
    """A difference of shares in percentage points: `+12.3 pp`, `−0.4 pp`, `+40 pp`."""
    if difference is None or math.isnan(difference):
        return MISSING
    hundred = difference * 100
    whole = abs(round(hundred, 1)) >= _WHOLE_FROM * 2
    text = f"{hundred:+,.0f}" if whole else f"{round(hundred, 1) + 0.0:+.1f}"
    return text.replace("-", "−") + " pp"


def hundredths(value: float | None) -> str:
    """`0.07`, `0.003`: a count for each operation, or a dash for a missing value.

    Only none is 0.00.
    """
    if value is None or math.isnan(value):
        return MISSING
    return _digits(value, 1) if 0 < value < _SHOWN_FROM else f"{value:.2f}"


def span(least: int, most: int) -> str:
    """`1,234`, or `1,234–5,678` if the counts differ."""
    return f"{least:,}" if least == most else f"{least:,}–{most:,}"


def point(values: Mapping[str, object]) -> str:
    """`workers=8, data=256`: the last words of the varied names and their values."""
    return ", ".join(f"{name.rsplit('.', 1)[-1]}={value}" for name, value in values.items())


def clock(seconds: float) -> str:
    """`1:05`: minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def place(described: Mapping[str, Any]) -> str:
    """A place of data, as a manifest describes it: "ext4 (/dev/loop0) over tmpfs"."""
    device, kind = described.get("device"), str(described.get("kind", ""))
    note = kind if kind.startswith("syncs") else ""
    details = ", ".join(map(str, filter(None, (device, note))))
    top = str(described.get("file_system", "unknown"))
    layers = (f"{top} ({details})" if details else top, *described.get("below", ()))
    return " over ".join(map(str, layers))


def printable(text: str) -> str:
    """The text on one line: other characters than printable ones are escaped."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _digits(value: float, digits: int) -> str:
    """The value with this number of significant digits, and all before the decimal point."""
    rounded = _rounded(value, digits)
    return f"{value:,.0f}" if abs(rounded) >= 10**digits else _plain(rounded)


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}") + 0.0  # no −0


def _plain(value: float) -> str:
    """Without an exponent: `0.00001`."""
    return format(Decimal(repr(value)).normalize(), ",f")
