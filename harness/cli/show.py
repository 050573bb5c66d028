"""`eslab show`: a finished run as tables."""

from __future__ import annotations

import json as json_

from harness.cli.shared import Json, Run, require_tables


def show(folder: Run, json: Json = False) -> None:
    """Show a run: the ranking inside each durability class, and every trial's verdicts."""
    require_tables()
    from rich.console import Console

    from harness import results
    from harness.render.ranking import print_heading, print_ranking, print_trouble

    run = results.load(folder)
    if json:
        trials = json_.loads(run.trials.to_json(orient="records", date_format="iso"))
        print(json_.dumps({"manifest": run.manifest, "trials": trials}, indent=2))
        return
    console = Console(highlight=False)
    print_heading(run.manifest, console)
    print_ranking(run.trials, console)
    print_trouble(run.trials, run.faults, console)
