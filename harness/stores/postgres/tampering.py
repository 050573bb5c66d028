"""Reaching past an adapter with plain SQL."""

from __future__ import annotations

from typing import Any

from harness.stores.postgres.driver import asyncpg
from harness.stores.postgres.session import Session


async def changed(session: Session, query: str, *arguments: Any) -> bool:
    """Whether the database let a statement change a row."""
    try:
        return bool(await session.pool.fetch(f"{query} RETURNING 1", *arguments))
    except asyncpg.IntegrityConstraintViolationError:
        return False
