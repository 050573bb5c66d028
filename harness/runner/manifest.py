"""The manifest of a run: what, where, on what, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import environment
from harness.runner import verdicts
from harness.runner.paths import Paths
from harness.scenario.types import Scenario
from harness.servers import Server

Manifest = dict[str, Any]


def opening(run: str, scenario: Scenario, *, command: str, data_folder: Path) -> Manifest:
    """What is known before the first trial."""
    facts = environment.describe(data_folder)
    commit = environment.commit(Path(__file__).parent)
    return {
        "run": run,
        "status": "running",
        "started_at": _now(),
        "command": command,
        "scenario": {
            "name": scenario.name,
            "description": scenario.description,
            "file": Path(scenario.path).name,
            "hash": scenario.hash,
            "seed": scenario.seed,
            "repetitions": scenario.repetitions,
            "require": dict(scenario.require),
            "text": scenario.text,
        },
        "order": [[trial.number, trial.store.key] for trial in scenario.trials],
        "commit": commit,
        "environment": facts,
        "flags": verdicts.run_flags(scenario.repetitions, facts, commit),
    }


def closing(
    status: str,
    left_out: Mapping[str, str],
    servers: Mapping[str, Server],
    paths: Paths,
    neighbours: Mapping[str, Any],
) -> Manifest:
    """What is known after the last one. `neighbours` is who else had the machine meanwhile."""
    reached = paths.described()
    return {
        "status": status,
        "neighbours": dict(neighbours),
        "finished_at": _now(),
        "left_out": dict(left_out),
        "servers": {
            technology: _server(server) | {"paths": reached.get(technology, [])}
            for technology, server in servers.items()
        },
    }


def _server(server: Server) -> Manifest:
    endpoint = server.endpoint
    return {
        "provider": endpoint.provider,
        "version": endpoint.version,
        "image": endpoint.image,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
