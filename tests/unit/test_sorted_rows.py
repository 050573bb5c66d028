"""Rows sorted in runs come back as if they had been sorted at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.domain.errors import LabError
from harness.results.sorted_rows import LOWEST, Rows, Scratch, Sizes, even_cuts

sizes = st.builds(Sizes, run=st.integers(1, 30), part=st.integers(1, 30), step=st.integers(1, 4))
keys = st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), max_size=60)


def numbered(rows: Sequence[tuple[int, int]]) -> Rows:
    """The rows, with their number as a third column."""
    first_two = np.array(rows, np.int64).reshape(-1, 2)
    return np.column_stack((first_two, np.arange(len(rows))))


def in_order(rows: Rows) -> list[list[int]]:
    return sorted(rows.tolist())


@given(rows=keys, sizes=sizes, blocks=st.integers(1, 7))
@settings(deadline=None)
def test_all_rows_come_back_in_order_and_equal_ones_as_they_were_added(
    rows: list[tuple[int, int]], sizes: Sizes, blocks: int
):
    with Scratch(sizes=sizes) as scratch:
        table = scratch.rows(3)
        for block in np.array_split(numbered(rows), blocks):
            table.add(*block.T)
        found = np.concatenate(list(table.all()))
        assert len(table) == len(rows)
        assert sorted(np.concatenate([found[:0], *table.runs()]).tolist()) == in_order(found)
    assert found.tolist() == in_order(numbered(rows))


@given(rows=keys, sizes=sizes, cuts=st.sets(st.tuples(st.integers(-5, 5), st.integers(-5, 5))))
@settings(deadline=None)
def test_a_part_has_what_lies_between_its_cuts(
    rows: list[tuple[int, int]], sizes: Sizes, cuts: set[tuple[int, int]]
):
    with Scratch(sizes=sizes) as scratch:
        table = scratch.rows(3)
        table.add(*numbered(rows).T)
        parts = list(table.parts(sorted(cuts)))
    bounds = [(LOWEST, LOWEST), *sorted(cuts), (10, 10)]
    for part, low, high in zip(parts, bounds[:-1], bounds[1:], strict=True):
        assert part.tolist() == in_order(
            np.array([row for row in numbered(rows) if low <= tuple(row[:2]) < high])
        )


def test_few_rows_stay_in_memory_and_many_go_to_a_file_without_a_name(tmp_path):
    with Scratch(tmp_path, Sizes(run=100, part=50, step=10)) as scratch:
        few, many = scratch.rows(2), scratch.rows(2)
        few.add(np.arange(99), np.arange(99))
        few.samples()
        assert scratch.files == 0
        many.add(np.arange(150), np.arange(150))
        many.add(np.arange(150), np.arange(150))
        assert scratch.files == 1
        assert max(len(part) for part in many.all()) <= 60
        assert not list(tmp_path.iterdir())


def test_parts_hold_about_so_many_rows_and_weighed_ones_fewer():
    with Scratch(sizes=Sizes(run=1000, part=200, step=10)) as scratch:
        light, heavy = scratch.rows(2), scratch.rows(3, weight=2)
        rows = np.arange(1000)
        light.add(rows, rows)
        heavy.add(rows, rows, np.full(1000, 9))
        assert max(len(part) for part in light.parts(even_cuts(light))) <= 210
        assert max(len(part) for part in heavy.parts(even_cuts(heavy))) <= 21


def test_a_place_that_takes_no_file_is_one_line(tmp_path):
    with Scratch(tmp_path / "gone", Sizes(run=10)) as scratch:
        table = scratch.rows(2)
        with pytest.raises(LabError, match=r"cannot write .*gone"):
            table.add(np.arange(20), np.arange(20))


def test_a_full_disk_is_one_line():
    with Scratch(sizes=Sizes(run=10)) as scratch, Path("/dev/full").open("wb", buffering=0) as full:
        table = scratch.rows(2)
        table.add(np.arange(10), np.arange(10))
        table._file = full
        with pytest.raises(LabError, match="the disk is full"):
            table.add(np.arange(10), np.arange(10))
