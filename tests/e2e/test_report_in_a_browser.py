"""The page in Chromium: it can be read at every width, sorted, heard and trusted."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.made_run import OPTIONS, STORES, Made, made_run

from .command import eslab

READING_FAULTS = (Path(__file__).parent / "reading_faults.js").read_text(encoding="utf-8")


@contextmanager
def opened(browser, folder):
    """The page in a window of its own, and what it complained of or asked for."""
    complaints = []
    with browser.new_context(viewport={"width": 1440, "height": 900}, offline=True) as context:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url))
        page.goto((folder / "report.html").as_uri())
        yield page, complaints


@pytest.fixture(scope="module")
def shown(browser):
    """`shown(folder)`: its page, opened once, in a window of this width and scheme."""
    with ExitStack() as windows:

        @cache
        def window(folder):
            return windows.enter_context(opened(browser, folder))

        def shown(folder, width=1440, scheme="light"):
            page, complaints = window(folder)
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            return page, complaints

        yield shown


def looked_at(shown, folder, width, scheme):
    """How many words the page has, and what is wrong with them or the page, all of it unfolded."""
    page, complaints = shown(folder, width, scheme)
    found = page.evaluate(READING_FAULTS)
    asked_for = [text for text in complaints if text != (folder / "report.html").as_uri()]
    return found["words"], found["faults"] + asked_for


@pytest.fixture(scope="module")
def reported_once(tmp_path_factory):
    """The page of made-up numbers at one point, a long store name among them."""
    folder = made_run(tmp_path_factory.mktemp("made"), Made(operations=5_000))
    assert eslab("report", folder).returncode == 0
    return folder


@pytest.mark.parametrize("width", [390, 980, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overlaps_or_is_cut_in_a_browser(shown, reported, width, scheme):
    words, faults = looked_at(shown, reported, width, scheme)
    assert words > 100
    assert faults == []


@pytest.mark.parametrize("width", [390, 980, 1440])
def test_long_names_and_many_points_fit_in_a_browser(shown, crowded, width):
    words, faults = looked_at(shown, crowded, width, "light")
    assert words > 500
    assert faults == []


def test_the_answer_at_one_point_fits_in_a_telephone(shown, reported_once):
    _, faults = looked_at(shown, reported_once, 390, "light")
    assert faults == []


@pytest.mark.parametrize("width", [390, 1440])
def test_the_first_screenful_has_the_answer(shown, reported, width):
    page, _ = shown(reported, width)
    answer = page.locator("#answer")
    assert answer.get_by_role("heading", name="The answer").bounding_box()["y"] < 300
    led = answer.get_by_text("led").first.bounding_box()
    table = answer.get_by_role("table").first.bounding_box()
    assert led["y"] + led["height"] < 900
    assert table["y"] < 900


def test_every_figure_has_a_text_alternative_with_its_numbers(shown, crowded):
    page, _ = shown(crowded)
    figures = page.locator("figure svg").count()
    named = page.get_by_role("img").evaluate_all(
        "(all) => all.map((each) => each.querySelector('title').textContent)"
    )
    assert figures == len(named) >= 6
    assert all(re.search(r"\d", text) and len(text) > 40 for text in named)


def test_a_head_sorts_its_table_by_number_and_says_so(shown, crowded):
    page, _ = shown(crowded)
    table = page.locator("#rankings table").filter(has_text="power-loss").first
    column = table.locator("th").all_text_contents().index("ops a second")
    head = table.get_by_role("columnheader").nth(column)
    cells = f"(t) => [...t.tBodies[0].rows].map((row) => row.cells[{column}].textContent)"
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    rising = [float(text.replace(",", "")) for text in table.evaluate(cells)]
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    falling = [float(text.replace(",", "")) for text in table.evaluate(cells)]
    assert rising == sorted(rising)
    assert len(set(rising)) > 2
    assert falling == rising[::-1]


def test_units_are_told_apart_and_dashes_go_last(browser, reported, tmp_path):
    texts = ["1.2 ms", "900 µs", "–", "3 s", "88 µs"]
    rows = "".join(f"<tr><td>{text}</td></tr>" for text in texts)
    table = f"<table><thead><tr><th>p50</th></tr></thead><tbody>{rows}</tbody></table>"
    script = re.search("<script>.*</script>", (reported / "report.html").read_text(), re.DOTALL)
    (tmp_path / "report.html").write_text(f"<meta charset=utf-8>{table}{script[0]}")
    with opened(browser, tmp_path) as (page, _):
        page.get_by_role("button").click()
        found = page.locator("td").all_text_contents()
    assert found == ["88 µs", "900 µs", "1.2 ms", "3 s", "–"]


def test_a_screen_reader_finds_tables_on_a_telephone_too(shown, reported):
    page, _ = shown(reported, 390)
    tables = page.locator("table:visible").count()
    assert tables == page.get_by_role("table").count() > 2
    assert page.get_by_role("cell").count() > 10
    assert page.get_by_role("main").count() == page.get_by_role("navigation").count() == 1
    levels = page.locator("h1, h2, h3").evaluate_all("(all) => all.map((h) => h.tagName)")
    assert levels[0] == "H1"
    assert levels.count("H1") == 1


def test_the_answer_has_its_median_time_on_a_telephone_and_rows_are_headed(shown, reported_once):
    page, _ = shown(reported_once, 390)
    table = page.locator("#answer").get_by_role("table").first
    heads = table.locator("thead th:visible").all_text_contents()
    assert table.get_by_role("rowheader").all_text_contents()[0] == "postgres"
    assert {"store", "ops a second", "service p50", "service p99"} <= set(heads)


def test_text_from_a_scenario_stays_text(browser, tmp_path):
    evil = "<img src=x onerror=console.log(1)><script>console.log(2)</script>"
    scenario = {"name": evil, "description": evil, "text": f"</pre>{evil}", "file": evil,
                "require": {}, "seed": 1, "hash": "0" * 64}  # fmt: skip
    stores = [replace(STORES[0], row={"first_violation": evil}), replace(OPTIONS, key=f"x{evil}")]
    manifest = {"scenario": scenario, "command": evil, "flags": [evil], "left_out": {evil: evil}}
    folder = made_run(tmp_path, Made(stores, repetitions=1, manifest=manifest))
    assert eslab("report", folder).returncode == 0
    with opened(browser, folder) as (page, complaints):
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 1
        assert page.locator("h1").text_content() == evil
    assert complaints == [(folder / "report.html").as_uri()]


def test_what_is_required_is_answered_first(browser, tmp_path):
    declared = json.dumps({"occ": "native"})
    stores = [replace(store, row={**store.row, "guarantees": declared}) for store in STORES[:3]]
    require = {"occ": "native", "durability": "process-crash"}
    scenario = {"name": "x", "hash": "0" * 64, "require": require}
    folder = made_run(
        tmp_path, Made(stores, repetitions=1, keep_samples=False, manifest={"scenario": scenario})
    )
    assert eslab("report", folder).returncode == 0
    with opened(browser, folder) as (page, _):
        told = page.locator("#answer li").all_text_contents()
        verdicts = page.locator("#requirements table").first.locator("td").all_text_contents()
    assert told[:2] == [
        "Keeping everything that is required: postgres, sqlite.",
        "Failing: memory: “durability: process-crash” (memory, as read back from what ran).",
    ]
    assert verdicts.count("✓ pass") == 5
    assert verdicts.count("✗ fail") == 1


def test_a_guarantee_matrix_beside_the_run_is_shown_with_its_evidence(browser, tmp_path):
    folder = made_run(tmp_path, Made(STORES[:1], repetitions=1, keep_samples=False))
    (folder / "conformance.json").write_text(json.dumps(CONFORMANCE))
    assert eslab("report", folder).returncode == 0
    with opened(browser, folder) as (page, _):
        told = page.locator("#guarantees").text_content()
        assert "Guarantees: memory holds 0, fails 1 (1 of them promised)." in (
            page.locator("#answer").text_content()
        )
        page.get_by_role("link", name="✗ 1 of 1 fail, 1 promised").click()
        assert "two had version 3" in page.locator(":target").text_content()
    assert "7 versions are contiguous" in told
    assert "✗ declared and fails" in told
    assert "two had version 3" in told
    assert "at 1.2 ms writer 1: appended a → version 3" in told
    assert "Not measured" not in told
    (folder / "conformance.json").write_text('{"format_version": 1, "stores": [{}], "checks": []}')
    told = eslab("report", folder)
    assert told.returncode == 2
    assert told.stderr.count("\n") == 1


CONFORMANCE = {
    "format_version": 1,
    "checks": [{"number": 7, "name": "versions are contiguous", "requirement": "ordered",
                "promise": "p"}],
    "stores": [{"store": "memory", "results": [
        {"check": 7, "mark": "✗", "word": "declared and fails", "defect": True,
         "why": "two had version 3",
         "evidence": [{"who": "writer 1", "did": "appended a", "result": "version 3",
                       "at_ms": 1.25}]}]}],
}  # fmt: skip
