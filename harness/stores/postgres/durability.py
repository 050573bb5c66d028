"""What an acknowledged append survives, from the server's settings as read back."""

from __future__ import annotations

from collections.abc import Mapping

from harness.store import Durability
from harness.stores.postgres.options import PostgresOptions


def durability_of(settings: Mapping[str, str]) -> Durability:
    """The class that the settings amount to; what is not among them is as PostgreSQL ships."""
    if settings.get("events_table") == "unlogged":
        return Durability.MEMORY
    if settings.get("synchronous_commit") == "off":
        return Durability.BOUNDED_LOSS
    if "off" in (settings.get("fsync"), settings.get("full_page_writes")):
        return Durability.PROCESS_CRASH
    return Durability.POWER_LOSS


def as_configured(options: PostgresOptions) -> Durability:
    """The class that the options ask for."""
    return durability_of(
        {
            "synchronous_commit": options.synchronous_commit,
            "events_table": "unlogged" if options.unlogged else "logged",
        }
    )
