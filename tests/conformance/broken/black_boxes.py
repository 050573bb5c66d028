"""Stores on a real server in which no client can hold a transaction open."""

from __future__ import annotations

from harness.stores.postgres.store import StreamRow


class BlackBox(StreamRow):
    """Positions are handed out before they commit, and said to be read without a gap."""

    gap_free_read = True
    open_transaction = None
