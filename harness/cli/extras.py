"""What a command needs beyond the lab's own dependencies, asked for before it is imported."""

from __future__ import annotations

from importlib.util import find_spec

from harness.errors import MissingExtra


def require_statistics() -> None:
    """Raise `MissingExtra` where pandas or scipy is not installed."""
    missing = [name for name in ("pandas", "scipy") if find_spec(name) is None]
    if missing:
        needed = " and ".join(missing)
        raise MissingExtra(f"comparing needs {needed}; pip install 'eventstore-lab[notebooks]'")
