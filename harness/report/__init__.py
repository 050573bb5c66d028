"""A run's page: its notebooks executed, and what they show as one file that stands alone."""

from __future__ import annotations

from harness.report.writing import write_report

__all__ = ["write_report"]
