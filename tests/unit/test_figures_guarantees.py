"""The guarantee matrix as tables: what stands in a cell, and where it leads."""

from __future__ import annotations

import pytest

from harness.render.figures import checks, durability, failures, kept, unreached

CHECKS = [
    {"number": number, "name": f"check {number}", "requirement": requirement, "promise": "p"}
    for number, requirement in ((7, "ordered"), (8, "ordered"), (16, "append_only"))
]


def result(number, mark, *, defect=False, why=""):
    step = {"who": "a", "did": "append", "result": "", "at_ms": 1.0}
    return {"check": number, "mark": mark, "word": "w", "defect": defect, "why": why,
            "evidence": [step] if mark == "✗" else []}  # fmt: skip


def measured(*results):
    stores = [{"store": "memory", "results": list(results)}]
    return {"format_version": 1, "checks": CHECKS, "stores": stores}


@pytest.mark.parametrize(
    ("results", "told"),
    [
        ([result(7, "✓"), result(8, "✓")], "✓ 2 of 2 hold"),
        ([result(7, "✓"), result(8, "?")], "✓ 1 of 2 hold, ? 1 not reached"),
        ([result(7, "○"), result(8, "?")], "○ 1 of 2 unsupported, ? 1 not reached"),
        ([result(7, "✗"), result(8, "✓")], "✗ 1 of 2 fail"),
        ([result(7, "✗", defect=True), result(8, "✗")], "✗ 2 of 2 fail, 1 promised"),
    ],
)
def test_a_requirement_says_how_many_of_its_checks_held_or_failed(results, told):
    ((name, cell),) = kept(measured(*results)).rows
    assert (name, str(cell)) == ("Ordered", told)


def test_a_failure_leads_to_its_own_evidence():
    conformance = measured(result(7, "✗"), result(8, "✗"), result(16, "✗"))
    first, second = kept(conformance).rows
    assert [first[1].to, second[1].to] == ["evidence-1", "evidence-3"]
    (ordered, _) = checks(conformance)
    assert [row[1].to for row in ordered.rows] == ["evidence-1", "evidence-2"]
    (table,) = failures(conformance)
    assert tuple(table.row_ids) == ("evidence-1", "evidence-2", "evidence-3")


def test_what_was_not_reached_says_why_once_for_all_that_it_kept_from_anything():
    found = measured(result(7, "?", why="no server"), result(8, "?", why="no server"))
    (lines,) = unreached(found)
    assert lines.lines == ["memory: 7, 8 not reached: no server"]


def test_nothing_is_said_where_nothing_was_measured_or_all_held():
    assert "Not measured" in repr(kept({}))
    assert not [*checks({}), *failures({}), *unreached({})]
    held = measured(result(7, "✓"))
    assert not [*failures(held), *unreached(held)]


MEASURED = {
    "declared": "power-loss safe as configured",
    "measured": "process-crash safe",
    "losses": 5,
    "acknowledged": 1200,
    "lost": 34,
    "oldest_lost_s": 0.4321,
    "no_start": "",
}


def with_durability(**about):
    matrix = measured(result(7, "✓"))
    matrix["stores"][0]["durability"] = {**MEASURED, **about}
    return matrix


def test_a_measured_durability_stands_beside_the_one_from_settings():
    (table,) = durability(with_durability())
    assert list(map(list, table.rows)) == [
        ["memory", *list(MEASURED.values())[:2], "5", "1,200", "34", "0.43 s"]
    ]
    (table,) = durability(with_durability(lost=0, oldest_lost_s=0.0, no_start="corrupt"))
    assert table.rows[0][-2:] == ("corrupt", "–")
    assert not list(durability(measured(result(7, "✓"))))
    assert not list(durability({}))
