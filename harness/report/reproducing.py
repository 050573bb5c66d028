"""How to make the run again: the commit, the command, the seed, and the scenario as it was."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup, escape

from harness.report.pieces import Part, Section
from harness.results import Run


def reproducing(run: Run) -> Section:
    """Commands to copy; the scenario's own text, as it was read."""
    scenario = run.manifest.get("scenario", {})
    commands = _pre("\n".join(_commands(run.manifest)))
    text = _pre(str(scenario.get("text", "")))
    return Section(
        "reproduce", "How to reproduce",
        (Part((commands,)), Part((text,), f"The scenario, {scenario.get('file', '')}")),
        says=f"The same seed, {scenario.get('seed', '')}, gives the same operations in the same "
        "order; times are those of your machine.",
    )  # fmt: skip


def _commands(manifest: dict[str, Any]) -> list[str]:
    commit = manifest.get("commit", {})
    dirty = "  # with uncommitted changes, which are lost" if commit.get("dirty") else ""
    checkout = [f"git checkout {commit['commit']}{dirty}"] if commit.get("commit") else []
    return [*checkout, "make setup", f".venv/bin/{manifest.get('command', 'eslab run')}"]


def _pre(text: str) -> Markup:
    return Markup('<pre tabindex="0">{}</pre>').format(escape(text))
