"""Options of every PostgreSQL variant."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.store import StoreOptions


class PostgresOptions(StoreOptions):
    """What may be chosen beside the design."""

    payload: Literal["bytea", "jsonb"] = Field(
        "bytea", description="column type of data and metadata; jsonb keeps values, not bytes"
    )
    synchronous_commit: Literal["on", "off"] = Field(
        "on", description="`off` acknowledges before the log is on disk: a crash loses the last"
    )
    notify: bool = Field(
        default=False,
        description="NOTIFY in each append's transaction; subscribers LISTEN as a hint",
    )
    unlogged: bool = Field(
        default=False, description="tables without a write-ahead log: emptied after a crash"
    )
    connections: int = Field(
        64, ge=1, le=1000, description="most connections that one worker process opens"
    )
    deadline_s: float = Field(
        30.0, gt=0, le=3600, description="an append without an answer by then is unknown"
    )
