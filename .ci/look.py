"""Looks at what `make bench` left: a valid run, a page that stands alone, nothing running on."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import psutil

from harness import results

WANTED = {"memory", "sqlite", "postgres", "postgres:template", "kafka", "dynamodb", "umadb"}


def problems(run: Path) -> list[str]:
    """Everything that is wrong with the newest run."""
    loaded = results.load(run)
    trials = loaded.trials
    page = (run / "report.html").read_text()
    servers = _servers_of(run.parent.resolve())
    found = [
        (loaded.manifest["status"] != "done", f"status is {loaded.manifest['status']}"),
        (
            not trials["valid"].all(),
            f"invalid trials: {trials.loc[~trials['valid'], 'key'].tolist()}",
        ),
        (not set(trials["key"]) >= WANTED, f"stores missing: {WANTED - set(trials['key'])}"),
        (not (trials["ok"] > 0).all(), "a trial without one good operation"),
        (bool(re.search(r'(src|href)="https?://', page)), "the page refers to the network"),
        (bool(list(run.parent.glob(".scratch-*"))), "a scratch folder was left behind"),
        (bool(servers), f"{len(servers)} server processes were left behind"),
    ]
    return [text for wrong, text in found if wrong]


def _servers_of(results_folder: Path) -> list[psutil.Process]:
    """PostgreSQL servers whose data lies in this folder; a machine may have others."""
    return [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == "postgres"
        and str(results_folder) in " ".join(process.info["cmdline"] or ())
    ]


def main() -> int:
    """Say what was found; 1 if anything is wrong."""
    run = results.newest(Path("results"))
    found = problems(run)
    print(f"{run.name}: " + ("; ".join(found) or "a valid run, a page that stands alone"))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
