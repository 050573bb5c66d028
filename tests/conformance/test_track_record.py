"""`docs/track-record.md`: each published fault has a store that its check catches, and a link.

The stores are run by `test_broken_stores_are_caught`, the designs on real servers by `test_stores`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.conformance import all_checks

from .faults import FAULTS
from .test_stores import KNOWN

PAGE = Path(__file__).parents[2] / "docs" / "track-record.md"
LINK = re.compile(r"\[[^\]]+\]\((https?://[^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
BROKEN = {store.__name__: number for store, (number, _) in FAULTS.items()}
THREAD = re.compile(r"/[\w.-]+/[\w.-]+/(issues|pull)/[1-9][0-9]*")
LEAST = 15


@dataclass(frozen=True)
class Row:
    """A published fault."""

    happens: str
    links: tuple[str, ...]
    check: int
    stores: tuple[str, ...]
    designs: tuple[str, ...]


def row_of(line: str) -> Row:
    happens, published, check, found_in = (cell.strip() for cell in line.strip("|\n ").split("|"))
    names = CODE.findall(found_in)
    return Row(
        happens,
        tuple(LINK.findall(published)),
        int(check),
        tuple(name for name in names if name in BROKEN),
        tuple(name for name in names if name in KNOWN),
    )


LINES = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
ROWS = [row_of(line) for line in LINES[2:]]


def test_there_are_at_least_fifteen_and_no_two_share_a_mechanism():
    assert len(ROWS) >= LEAST
    assert len({row.happens for row in ROWS}) == len(ROWS)
    assert len({row.stores for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.stores[0] if row.stores else "none")
def test_each_has_a_store_that_its_check_catches_and_an_address(row: Row):
    assert row.check in all_checks()
    assert row.stores, "a store broken on purpose"
    assert {BROKEN[store] for store in row.stores} == {row.check}
    assert row.links, "who published it"
    for link in row.links:
        address = urlsplit(link)
        assert address.scheme == "https"
        assert address.hostname != "github.com" or THREAD.fullmatch(address.path), link


@pytest.mark.parametrize("row", [row for row in ROWS if row.designs], ids=lambda row: row.stores[0])
def test_a_design_that_is_named_is_known_to_fail_that_check_on_a_real_server(row: Row):
    for design in row.designs:
        assert row.check in KNOWN[design], design


def test_every_name_in_the_table_is_a_store_or_a_design():
    for line, row in zip(LINES[2:], ROWS, strict=True):
        names = CODE.findall(line.strip("|\n ").split("|")[-1])
        assert set(names) == {*row.stores, *row.designs}, line
