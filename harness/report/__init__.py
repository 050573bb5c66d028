"""A run's page, made from its folder alone, and its notebooks executed."""

from __future__ import annotations

from harness.report.writing import write_report, write_with_notebooks

__all__ = ["write_report", "write_with_notebooks"]
