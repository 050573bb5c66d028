"""A run as one HTML page: an inline script that sorts, no network, no other file."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from harness.report.sections import sections
from harness.results import Run


def page(run: Run) -> str:
    """The page of a run. Text from the run is escaped by the template; figures and tables are ours.

    Raises `BadInput` for a run whose parts do not fit together.
    """
    scenario = run.manifest.get("scenario", {})
    return str(
        _template().render(
            style=Markup(_read("page.css")),  # noqa: S704 — a file of this package
            script=Markup(_read("page.js")),  # noqa: S704 — likewise
            name=scenario.get("name", "run"),
            description=str(scenario.get("description", "")).strip(),
            run=run.manifest.get("run", ""),
            started=str(run.manifest.get("started_at", ""))[:16].replace("T", " "),
            sections=sections(run),
        )
    )


def _template() -> Template:
    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


def _read(name: str) -> str:
    return (files("harness.report") / name).read_text(encoding="utf-8")
