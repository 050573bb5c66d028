"""Outputs of stored runs, byte for byte: whoever moves the code does not move what people read."""

from __future__ import annotations

import difflib

import pytest

from .outputs import EXPECTED, OUTPUTS


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_is_what_it_was(name: str):
    expected = (EXPECTED / name).read_text(encoding="utf-8")
    lines = difflib.unified_diff(
        expected.splitlines(), OUTPUTS[name]().splitlines(), name, "today", lineterm="", n=1
    )
    difference = "\n".join(lines)
    assert not difference, f"{difference}\n\nmeant? python -m tests.golden.accept {name}"


def test_nothing_is_expected_that_nobody_makes():
    assert {path.name for path in EXPECTED.iterdir()} == set(OUTPUTS)
