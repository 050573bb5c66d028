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


async def emptied(session: Session) -> bool:
    """Whether the database lets the table be truncated; that is rolled back either way."""
    limit_s = session.options.deadline_s
    async with session.pool.lent() as link:
        await link.connection.execute("BEGIN", timeout=limit_s)
        try:
            await link.connection.execute("TRUNCATE events", timeout=limit_s)
        except asyncpg.IntegrityConstraintViolationError:
            return False
        finally:
            await link.connection.execute("ROLLBACK", timeout=limit_s)
    return True
