"""A run's page, made from its folder alone, and its notebooks executed."""

from __future__ import annotations

from harness.report.writing import write_notebooks, write_report

__all__ = ["write_notebooks", "write_report"]
