"""What a scenario's reader needs of a store: each store passes, fails, or nobody knows yet."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from harness.scenario.shapes import Model, Share

_LIMITS = ("p50_ms", "p99_ms", "errors")


class Require(Model):
    """Promises and speeds. More than was asked for is enough: native for emulated, and so on."""

    durability: Literal["power-loss", "process-crash", "bounded-loss"] | None = Field(
        None, description="what an acknowledged append must survive"
    )
    occ: Literal["native", "emulated"] | None = Field(None, description="expected versions")
    atomic_append: Literal[True] | None = Field(None, description="all events of one or none")
    append_only: Literal["enforced", "by-convention"] | None = None
    idempotency: Literal["durable", "window"] | None = Field(None, description="of a retry")
    global_order: Literal["total", "per-partition"] | None = None
    gap_free_read: Literal[True] | None = Field(None, description="by a reader at the head")
    stream_read: Literal["indexed"] | None = None
    subscription: Literal["push", "poll"] | None = None
    payload: Literal["exact"] | None = Field(None, description="bytes come back as they were")
    writers: Literal["many", "one-per-partition"] | None = None
    at_rate_per_s: float | None = Field(
        None, gt=0, le=10_000_000, description="operations a second that must be kept up with"
    )
    p50_ms: float | None = Field(None, gt=0, le=3_600_000, description="response time at it")
    p99_ms: float | None = Field(None, gt=0, le=3_600_000, description="response time at it")
    errors: Share | None = Field(None, description="share that may fail at it; 0.1% if not said")

    @model_validator(mode="after")
    def _times_at_a_rate(self) -> Require:
        given = [name for name in _LIMITS if getattr(self, name) is not None]
        if given and self.at_rate_per_s is None:
            raise ValueError(f"expected at_rate_per_s beside {given[0]}: times are those at a rate")
        return self

    def stated(self) -> dict[str, Any]:
        """What was asked for, without what was not."""
        return self.model_dump(exclude_none=True)
