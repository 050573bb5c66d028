"""The notebooks are saved without outputs, stay thin, and need no database's client."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

from harness.report.writing import NOTEBOOKS as NAMES

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
ALLOWED = {"results", "summary", "compare", "figures", "trends", "errors"}
LINES_A_CELL = 15

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list[dict]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def imported(source: str) -> set[str]:
    """Modules by their full names: `from harness import figures` is `harness.figures`."""
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
