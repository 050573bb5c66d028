"""A page of a real run, one of made-up numbers, and the browser that they are read in."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from playwright.sync_api import sync_playwright

from tests.made_run import OPTIONS, STORES, Made, made_run

from .command import QUICKLY, eslab, the_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """A small contended run on two real stores, its report written by the run itself."""
    out = tmp_path_factory.mktemp("results")
    told = eslab(
        "run", "scenarios/hot-streams.yaml", "--stores", "memory,sqlite", *QUICKLY,
        "--set", "vary={streams.count: [1, 1000]}", "--report", "--out", out,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    return the_run(out)


@pytest.fixture(scope="session")
def crowded(tmp_path_factory):
    """The page of made-up numbers: long store names, several classes, points and subscribers."""
    long = replace(OPTIONS, key="postgres:global-lock{notify=true,payload=bytea,unlogged=true}")
    points = [{"streams.count": count} for count in (1, 16, 1024)]
    made = Made((*STORES[1:], long), points, workload="command", operations=5_000, subscribers=True)
    run = made_run(tmp_path_factory.mktemp("made"), made)
    told = eslab("report", run)
    assert told.returncode == 0, told.stderr
    return run


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, without a window and without the network.

    Playwright keeps an event loop running as long as it lives: no longer than a module's tests.
    """
    if CHROMIUM is None:
        pytest.skip("no browser: chromium is not installed; apt-get install chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
