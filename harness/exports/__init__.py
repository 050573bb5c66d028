"""A run in the formats that other tools read: nothing is measured or judged again here."""

from __future__ import annotations

from harness.exports.writing import FORMATS, export

__all__ = ["FORMATS", "export"]
