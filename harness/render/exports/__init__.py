"""Exports of a run in formats that other tools read, without new measurements or verdicts."""

from __future__ import annotations

from harness.render.exports.writing import FORMATS, export

__all__ = ["FORMATS", "export"]
