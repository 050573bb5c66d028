"""A store with a server touches its own package, one row, and the files that start its server."""

import re
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[2] / "harness"
ROW = {"servers/technologies.py"}
SERVICE = {"servers/docker/services.py"}


@pytest.mark.parametrize("technology", ["dynamodb", "eventstoredb", "umadb"])
def test_no_other_module_names_a_technology(technology):
    """Those that have no dialect of their own in the lab; `docs/extending.md` lists the same."""
    named = {
        path.relative_to(HARNESS).as_posix()
        for path in HARNESS.rglob("*.py")
        if re.search(rf"""["']{technology}\b""", path.read_text())
    }
    own = {each for each in named if each.startswith(f"stores/{technology}/")}
    native = {f"servers/native/{technology}.py"}
    assert named - own <= ROW | SERVICE | native
