"""What the tests of the loader share: the real catalogue, and a small valid file."""

from __future__ import annotations

from pathlib import Path

from harness import stores, workloads
from harness.domain.workload import Catalogue
from harness.scenario import Overrides, load
from harness.scenario.model import Scenario
from harness.servers import declarable_settings

CATALOGUE = Catalogue(stores.kinds(), workloads.kinds(), declarable_settings())
SHIPPED = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))
SMALL = """\
name: small
stores: [memory, sqlite, null]
workload: append
"""


def loaded(folder: Path, text: str | bytes, **overrides: object) -> Scenario:
    """The scenario of this text."""
    file = folder / "given.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(file, CATALOGUE, overrides=Overrides(**overrides))
