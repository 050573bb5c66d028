"""Options of every EventStoreDB variant."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.store import StoreOptions


class EventStoreDBOptions(StoreOptions):
    """What may be chosen beside the design."""

    categories: Literal["filter", "links"] = Field(
        "filter", description="a category by a filter over all, or by the projection's links"
    )
    subscription: Literal["catch-up", "persistent"] = Field(
        "catch-up", description="the subscriber keeps its place, or the server keeps it"
    )
    deadline_s: float = Field(
        30.0, gt=0, le=3600, description="an append without an answer by then is unknown"
    )
