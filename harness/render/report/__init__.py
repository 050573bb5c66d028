"""Makes a run's page from its folder alone, and executes its notebooks."""

from __future__ import annotations

from harness.render.report.writing import write_report, write_with_notebooks

__all__ = ["write_report", "write_with_notebooks"]
