"""Scenario files: strict YAML in, a frozen `Scenario` and its trials out. Pure."""

from __future__ import annotations

from harness.scenario.loading import load
from harness.scenario.overrides import Overrides
from harness.scenario.schema import schema

__all__ = ["Overrides", "load", "schema"]
