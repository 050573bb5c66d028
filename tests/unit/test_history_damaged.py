"""A history that was cut off or edited by hand: one line that says where, and nothing is added."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from harness.analysis.trends import COLUMNS, append, read
from harness.domain.errors import BadInput
from tests.made_history import SMALL, made_history, rows_of
from tests.made_run import made_run


@pytest.fixture
def added(tmp_path):
    return made_history(tmp_path)


@pytest.mark.parametrize(
    ("hurt", "told"),
    [
        (lambda text: text.replace("throughput", "speed", 1), "not a history of this lab: column"),
        (lambda text: text[:-10], "cut off"),
        (lambda text: text + "a,b,c,d\n" + "x," * 40 + "\n", "not a history, or cut off"),
        (lambda text: "", "not a history"),
    ],
)
def test_a_file_that_is_no_history_is_one_line_and_is_left_alone(added, tmp_path, hurt, told):
    added.write_text(hurt(added.read_text()))
    before = added.read_bytes()
    with pytest.raises(BadInput) as error:
        append(added, rows_of(made_run(tmp_path, SMALL)))
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert added.read_bytes() == before


@pytest.mark.parametrize("cell", ["abc", "inf", "nan", "1_000"])
@pytest.mark.parametrize("name", ["throughput", "p99", "repetitions"])
def test_a_number_that_is_none_is_named_with_its_line_and_column(added, name, cell):
    frame = pd.read_csv(added, dtype=str, keep_default_na=False)
    frame.loc[1, name] = cell
    frame.to_csv(added, index=False)
    added.write_text(added.read_text().replace("\n", "\n\n", 1))
    with pytest.raises(BadInput) as error:
        read(added)
    assert str(error.value) == f"{added}:4: column {name}: {cell!r} is not a number"


def test_numbers_are_read_as_numbers_and_empty_lines_as_nothing(added):
    before = read(added)
    added.write_text(added.read_text() + "\n")
    pd.testing.assert_frame_equal(read(added), before)
    assert before["repetitions"].tolist() == [3, 3]
    assert before["throughput"].dtype == before["wal"].dtype == float


def cell(name: str, value: str) -> Callable[[Path], object]:
    """The last row with another cell."""

    def hurt(path: Path) -> None:
        *others, last = csv.reader(io.StringIO(path.read_text()))
        last[COLUMNS.index(name)] = value
        with path.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([*others, last])

    return hurt


def text(change: Callable[[str], str]) -> Callable[[Path], object]:
    return lambda path: path.write_text(change(path.read_text()))


def a_field_more(whole: str) -> str:
    """On every row but the head, where pandas takes the first column for names of rows."""
    head, *others = whole.splitlines()
    return "\n".join([head, *(f"{line},1" for line in others), ""])


DAMAGES = {
    "a field more": (text(a_field_more), 2, "expected 24 cells, got 25"),
    "a word": (text(lambda whole: whole + "abc\n"), 4, "expected 24 cells, got 1"),
    "cut, then a new line": (text(lambda whole: whole[:-30] + "\n"), 3, "expected 24 cells, got "),
    "a quote": (text(lambda whole: whole + '"a,b\n'), 4, "unexpected end of data"),
    "time": (cell("time", "yesterday"), 3, "column time: 'yesterday' is not a time"),
    "no time": (cell("time", ""), 3, "column time: '' is not a time"),
    "below zero": (cell("throughput", "-5"), 3, "column throughput: -5 is below zero"),
    "point": (cell("point", "[1]"), 3, "column point: '[1]' is not a JSON object"),
    "point cut": (cell("point", "{x"), 3, "column point: '{x' is not a JSON object"),
    **{
        f"no {name}": (cell(name, ""), 3, f"column {name} is empty")
        for name in ("run", "key", "scenario_hash")
    },
}


@pytest.mark.parametrize(("hurt", "line", "told"), DAMAGES.values(), ids=DAMAGES)
def test_a_row_that_no_run_has_written_is_one_line_with_its_place(added, hurt, line, told):
    hurt(added)
    with pytest.raises(BadInput) as error:
        read(added)
    assert str(error.value).startswith(f"{added}:{line}: ")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_data_may_shrink(added):
    cell("disk", "-5")(added)
    assert read(added)["disk"].iloc[-1] == -5


def test_what_no_run_can_have_is_not_added(added, tmp_path):
    before = added.read_bytes()
    run = made_run(tmp_path, SMALL)
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"started_at": "yesterday"}))
    with pytest.raises(BadInput, match="to be added:2: column time: 'yesterday' is not a time"):
        append(added, rows_of(run))
    assert added.read_bytes() == before
