"""Numbers as people read them, at their edges."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.domain.formatting import (
    change,
    compact,
    duration,
    hundredths,
    number,
    percent,
    ratio,
    ratio_between,
    short,
    size,
    unit_free,
)

NONE = float("nan")


@pytest.mark.parametrize(
    ("ratio", "told"),
    [
        ((0.46, 0.35, 0.58), "0.46 × (0.35 – 0.58)"),
        ((0.46, NONE, NONE), "0.46 ×"),
        ((0.6, 1e-7, 2_650_700.0), "0.60 × (repeat more)"),
        ((0.003, 0.002, 0.004), "0.003 × (0.002 – 0.004)"),
    ],
)
def test_an_interval_that_bounds_nothing_is_not_told(ratio, told):
    assert ratio_between(*ratio) == told


@pytest.mark.parametrize(
    ("ratio", "told"),
    [(1.004, "+0.4 %"), (0.9, "−10.0 %"), (9.9, "+890 %"), (12.0, "12 ×"), (9e12, "> 1,000 ×")],
)
def test_a_change_of_many_times_keeps_short(ratio, told):
    assert change(ratio) == told


@pytest.mark.parametrize(
    ("ns", "shown"),
    [
        (999_600, "1 ms"),
        (999_400, "999 µs"),
        (999_499.9, "999 µs"),
        (999_999_999, "1 s"),
        (59_960_000_000, "60 s"),
        (999_600_000_000, "1,000 s"),
        (3_600_000_000_000, "3,600 s"),
        (-999_600, "-1 ms"),
        (0, "0 µs"),
        (1, "0.001 µs"),
        (0.01, "0.00001 µs"),
        (math.inf, "∞"),
        (math.nan, "–"),
    ],
)
def test_a_time_takes_the_unit_of_its_rounded_value(ns, shown):
    assert duration(ns) == shown


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(9.96), "10"),
        (number(99.6), "100"),
        (number(0.00001), "0.00001"),
        (number(1e15), "1,000,000,000,000,000"),
        (number(-0.0), "0"),
        (short(999_999.6), "1 M"),
        (short(9.96), "10"),
        (short(2.5e12), "2,500,000 M"),
        (compact(9_999), "10k"),
        (compact(950_000), "950k"),
        (compact(999_600), "1.0M"),
        (compact(4_349), "4.3k"),
        (size(1), "1 byte"),
        (size(1_023), "1,023 bytes"),
        (size(1_048_575), "1 MiB"),
        (size(40 << 20), "40 MiB"),
        (ratio(9.996), "10 ×"),
        (change(1.19996), "+20 %"),
        (percent(0.004), "0.4 %"),
        (percent(0.997), "99.7 %"),
        (percent(0.9999996), "99.99996 %"),
        (percent(1.0), "100 %"),
        (percent(0.0), "0 %"),
        (unit_free(2_000_000.0), "2000000"),
        (unit_free(5_500.0), "5500"),
    ],
)
def test_a_number_is_rounded_before_its_form_is_chosen(shown, expected):
    assert shown == expected


_UNITS = {"µs": 1e3, "ms": 1e6, "s": 1e9, "": 1.0, "/s": 1.0, "M": 1e6, "k": 1e3, "%": 0.01}
_UNITS |= {"byte": 1, "bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def value_of(text):
    """The value that a reader takes from the text. Fails on an exponent."""
    parts = re.fullmatch(r"(-?[\d,]*\d(?:\.\d+)?) ?([^\d\s]*)", text)
    assert parts, text
    return float(parts[1].replace(",", "")) * _UNITS[parts[2]]


@pytest.mark.parametrize(
    ("form", "off"),
    [(duration, 0.005), (number, 0.05), (short, 0.05), (size, 0.005)],
)
@given(digits=st.floats(1, 10, exclude_max=True), magnitude=st.integers(-4, 17))
def test_what_is_shown_is_the_value_in_every_magnitude(form, off, digits, magnitude):
    value = digits * 10.0**magnitude
    shown = form(value)
    assert "e" not in shown.replace("byte", "")
    slack = 0.5 if form is size and value < 1024 else 0.0
    assert value_of(shown) == pytest.approx(value, rel=off + 1e-9, abs=slack)
    number_shown = shown.split(" ")[0]
    if form is duration and not shown.endswith(" s"):
        assert abs(float(number_shown)) < 1_000, "the next unit is there for this"


@given(st.integers(0, 10**15))
def test_a_count_in_a_narrow_cell_is_the_count(count):
    shown = compact(count)
    assert value_of(shown) == pytest.approx(count, rel=0.05)
    if count < 10**9:
        assert len(shown) <= 4


@given(st.floats(0, 1))
def test_a_share_is_neither_none_nor_all_unless_it_is(share):
    shown = percent(share)
    assert (shown == "0 %") == (share == 0)
    assert (shown == "100 %") == (share == 1) or share > 1 - 1e-12


@given(st.floats(0, 100))
def test_a_count_for_each_operation_is_none_only_where_it_is(count):
    shown = hundredths(count)
    assert (shown == "0.00") == (count == 0)
    assert value_of(shown) == pytest.approx(count, abs=0.005 + 1e-12)
    assert "e" not in shown
