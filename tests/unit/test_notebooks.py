"""The notebooks are saved without outputs, stay thin, and need no database's client."""

from __future__ import annotations

import ast
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.render.report.writing import NOTEBOOKS as NAMES
from tests.made_run import Made, MadeStore, made_run

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
ALLOWED = {
    "results",
    "analysis.comparison",
    "analysis.summary",
    "analysis.trends",
    "domain.errors",
    "render.figures",
}
LINES_A_CELL = 18
PAIRS = Made(
    stores=[MadeStore("postgres", row={"side": side}) for side in ("base", "candidate")],
    points=[{"streams.count": count} for count in (1, 100)],
    workload="command",
    operations=500,
)
SIDES = ("postgres (base)", "postgres (candidate)")

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
of_a_run = pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if path.stem != "history"], ids=lambda path: path.stem
)
"""A history remembers the candidate of pairs alone."""


def code_cells(path: Path) -> list[dict]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def imported(source: str) -> set[str]:
    """Modules by their full names, such as `harness.render.figures`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def test_the_notebooks_that_the_report_executes_are_there():
    assert set(NAMES) <= {path.stem for path in NOTEBOOKS}


@each
def test_a_notebook_is_saved_without_outputs(path):
    for cell in code_cells(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@each
def test_a_notebook_imports_only_frames_and_figures(path):
    for cell in code_cells(path):
        for name in imported("".join(cell["source"])):
            package, _, module = name.partition(".")
            assert package in sys.stdlib_module_names or (package, module) in {
                ("harness", allowed) for allowed in ALLOWED
            }, name


@each
def test_the_cells_are_thin(path):
    for cell in code_cells(path):
        assert len(cell["source"]) <= LINES_A_CELL


@each
def test_a_notebook_opens_in_any_jupyter(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert all(cell["id"] for cell in notebook["cells"])


@of_a_run
def test_a_notebook_tells_the_sides_of_pairs_apart(path, tmp_path, monkeypatch):
    workload = "boundary" if path.stem == "boundaries" else PAIRS.workload
    made = replace(PAIRS, workload=workload, faults=path.stem == "bad-day")
    monkeypatch.setenv("RUN", str(made_run(tmp_path, made)))
    monkeypatch.delenv("OTHERS", raising=False)
    text = shown(path)
    for side in SIDES:
        assert side in text


def shown(path: Path) -> str:
    """What the cells of a notebook show, as a page would have it."""
    told: list[str] = []

    def display(*values: object) -> None:
        for value in values:
            ways = [getattr(value, f"_repr_{way}_", str) for way in ("svg", "html")]
            told.extend(str(way()) for way in ways)

    names: dict = {"display": display, "print": lambda *values: told.append(str(values))}
    for cell in code_cells(path):
        *statements, last = ast.parse("".join(cell["source"])).body
        rest = [] if isinstance(last, ast.Expr) else [last]
        exec(compile(ast.Module([*statements, *rest], []), path.name, "exec"), names)
        if isinstance(last, ast.Expr):
            display(eval(compile(ast.Expression(last.value), path.name, "eval"), names))
    return " ".join(told)
